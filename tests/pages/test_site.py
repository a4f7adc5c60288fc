"""The pages lead to each other, on GitHub and on the site that Zensical builds of docs/."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from markdown_pages import PAGES, ROOT, without_code

_LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
_CONFIG = ROOT / "zensical.toml"


def links(page: Path) -> list[tuple[str, str]]:
    return _LINK.findall(without_code(page.read_text()))


def anchors(page: Path) -> list[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text()), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target, anchor in links(page):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), f"{target}#{anchor}"
        if page.is_relative_to(ROOT / "docs"):  # the site has nothing else
            assert linked.resolve().is_relative_to(ROOT / "docs"), target


def test_every_page_stands_in_the_navigation():
    def pages(entries) -> list[str]:
        return [page for entry in entries for value in entry.values() for page in named(value)]

    def named(value) -> list[str]:
        return [value] if isinstance(value, str) else pages(value)

    shown = pages(tomllib.loads(_CONFIG.read_text())["project"]["nav"])
    docs = ROOT / "docs"
    assert sorted(shown) == sorted(p.relative_to(docs).as_posix() for p in docs.rglob("*.md"))


@pytest.fixture
def site(tmp_path):
    """A copy of what the site is made of, and a function that builds it."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(_CONFIG, tmp_path)
    program = Path(sysconfig.get_path("scripts"), "zensical")

    def build() -> subprocess.CompletedProcess[str]:
        command = [str(program), "build", "--strict"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return tmp_path, build


needs_zensical = pytest.mark.skipif(
    sys.version_info < (3, 11, 5), reason="zensical needs Python 3.11.5"
)


@needs_zensical
def test_the_site_is_built_and_loads_nothing_from_elsewhere(site):
    folder, build = site
    done = build()
    assert done.returncode == 0, done.stdout + done.stderr
    for page in (folder / "docs").rglob("*.md"):
        made = folder / "site" / page.relative_to(folder / "docs").with_suffix(".html")
        text = made.read_text()
        title = re.search(r"^# (.+)$", page.read_text(), re.MULTILINE)[1]
        assert re.sub(r"[`*]", "", title) in text
        assert not re.findall(r'<(?:script|link|img)[^>]*\b(?:src|href)="?https?:', text)


@needs_zensical
@pytest.mark.parametrize("target", ["nowhere.md", "options.md#nowhere"])
def test_a_broken_link_stops_the_build(site, target):
    folder, build = site
    page = folder / "docs" / "options.md"
    page.write_text(page.read_text() + f"\n[broken]({target})\n")
    done = build()
    assert done.returncode != 0
    assert "1 issue found" in done.stdout + done.stderr
