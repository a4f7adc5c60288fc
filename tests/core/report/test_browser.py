"""The page in Debian's Chromium; screenshots are kept in the folder SERASER_SCREENSHOTS."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from made_reports import (
    comparison_of,
    report_of,
    some_failed,
    some_findings,
    some_pictures,
    trusted,
)
from playwright.sync_api import Browser, Page, sync_playwright

SIZES = ((390, 844), (1024, 700), (1600, 1000))
THEMES = ("light", "dark")
AXE = "axe-core@4.14.1"
CLASSES = ["a camel", "a deer", "a red-billed oxpecker of the savanna"]
SLOW = pytest.param("audits", marks=pytest.mark.slow)
KINDS = ("labelled", "audit", "doubtful", "comparison", SLOW)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, where it is installed."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium is installed (apt install chromium)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def axe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core, from npm."""
    cache, name = getattr(request.config, "cache", None), AXE.replace("@", "-")
    folder = cache.mkdir(name) if cache else tmp_path_factory.mktemp(name)
    script = folder / "axe.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("no npm is installed (apt install npm), which has axe-core")
        own = folder / str(os.getpid())
        own.mkdir(exist_ok=True)
        call = [npm, "pack", AXE, "--pack-destination", str(own), "--silent"]
        done = subprocess.run(call, cwd=own, capture_output=True, text=True, timeout=120)
        if done.returncode:
            pytest.skip(f"npm has no {AXE}: {done.stderr.strip()[-300:]}")
        with tarfile.open(next(own.glob("*.tgz"))) as archive:
            content = archive.extractfile("package/axe.min.js")
            assert content is not None
            (own / "axe.min.js").write_bytes(content.read())
        (own / "axe.min.js").replace(script)
        shutil.rmtree(own)
    return script.read_text()


@pytest.fixture(scope="session")
def page_file(tmp_path_factory):
    """Writes the page of a kind, once."""
    written: dict[str, Path] = {}

    def write(kind: str) -> Path:
        if kind not in written:
            folder = tmp_path_factory.mktemp(kind)
            written[kind] = folder / "report.html"
            written[kind].write_bytes(make(kind, folder)["report.html"])
        return written[kind]

    return write


def make(kind: str, folder: Path, side: int = 32) -> dict[str, bytes]:
    """The files of a report with everything in it, of an audit, or of a run to be doubted."""
    if kind == "labelled":
        run = trusted(300, 100, classes=CLASSES, methods=["zero_shot", "seraser", "foreground"])
        pictures = some_pictures(run, 160, side)
        findings = some_findings(pictures["item_id"].to_list())
        return report_of(run, folder, findings=findings, pictures=pictures)
    if kind == "audit":
        nothing: list[Any] = [None] * 120
        run = trusted(120, 60, classes=CLASSES, labels=nothing, places=nothing, failed=())
        return report_of(run, folder, pictures=some_pictures(run, 20, side))
    if kind in ("comparison", "audits"):
        return {"report.html": comparison_of(folder, labelled=kind == "comparison")}
    run = trusted(40, 10, failed=(2, 5))
    run.change(random_weights=True)
    return report_of(run, folder, "00000", "00001", shown=some_failed(run, side))


@pytest.fixture
def opened(browser, page_file, tmp_path):
    """Opens the page of a kind, without a network."""
    contexts = []

    def open_page(kind: str, scripts: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": 1024, "height": 700}, java_script_enabled=scripts, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.goto(page_file(kind).as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def keep(tmp_path):
    """Keeps a screenshot: in the folder SERASER_SCREENSHOTS of whole pages, else of the first."""
    named = os.environ.get("SERASER_SCREENSHOTS")
    folder = Path(named or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return lambda page, name: page.screenshot(path=folder / f"{name}.png", full_page=bool(named))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_overflows_and_the_result_fits_the_first_screen(opened, keep, kind):
    page = opened(kind)
    for (width, height), theme in product(SIZES, THEMES):
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=theme)
        wide = page.evaluate("document.scrollingElement.scrollWidth")
        assert wide <= width, f"{kind} at {width}, {theme}: {wide} pixels wide"
        below = page.evaluate(
            "Math.max(...['h1', '.tiles'].map("
            "one => document.querySelector(one).getBoundingClientRect().bottom))"
        )
        assert below <= height, f"{kind} at {width}, {theme}: the tiles end at {below}"
        keep(page, f"{kind}-{width}-{theme}")


@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing_serious(opened, axe, kind):
    page = opened(kind)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    page.evaluate(axe)
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        told = [
            f"{theme}: {one['id']}: {one['help']}: {one['nodes'][0]['html']}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert told == []


@pytest.mark.parametrize("kind", KINDS)
def test_it_loads_nothing_and_reads_the_same_without_scripts(opened, kind):
    texts = []
    for scripts in (True, False):
        page = opened(kind, scripts=scripts)
        requested, told = [], []
        page.on("request", lambda request, kept=requested: kept.append(request.url))
        page.on("console", lambda message, kept=told: kept.append(message.text))
        page.reload()
        assert [url for url in requested if not url.startswith("data:")] == [page.url]
        assert told == []
        texts.append(page.inner_text("body"))
    assert texts[0] == texts[1]
    assert len(texts[0]) > 1000


def test_on_paper_everything_is_open(opened):
    page = opened("labelled", scripts=False)
    folded = page.locator("details table").first
    assert not folded.is_visible()
    page.emulate_media(media="print")
    heights = page.evaluate(
        "[...document.querySelectorAll('details > :not(summary, .sideways)')]"
        ".map(one => one.getBoundingClientRect().height)"
    )
    assert len(heights) > 5
    assert min(heights) > 0
    assert page.locator("nav").is_hidden()


def test_broken_images_are_folded_on_a_phone_alone(opened):
    page = opened("labelled")
    broken = page.locator("details.phone .item").first
    assert broken.is_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    page.reload()
    assert not broken.is_visible()
    page.get_by_text("Show all").click()
    assert broken.is_visible()
    page.emulate_media(media="print")
    assert broken.is_visible()


def test_scripts_sort_enlarge_and_switch_the_theme(opened):
    page = opened("labelled")
    column = page.locator("#methods table").first
    before = column.locator("tbody th").all_inner_texts()
    column.get_by_role("button", name="method").click()
    assert column.locator("tbody th").all_inner_texts() == sorted(before) != before
    page.get_by_role("button", name="Enlarge").first.click()
    assert page.locator("dialog img").is_visible()
    page.keyboard.press("Escape")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark theme").click()
    assert page.evaluate(ground) != light


def test_sixty_items_stay_under_five_megabytes_and_two_builds_are_equal(tmp_path):
    one, two = (
        make("labelled", tmp_path / name, 128)["report.html"].replace(
            str(tmp_path / name).encode(), b""
        )
        for name in ("one", "two")
    )
    assert one == two
    assert one.count(b"<img ") == 3 * 60
    assert len(set(one.split(b'src="data:'))) == 1 + 3 * 60, "every picture once"
    assert len(one) < 5_000_000
