"""`find_shortcuts`: the demo's planted pairs by name, few or bad images, runs, cells and pages."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from seraser_core import find_shortcuts, load_model
from seraser_core.api.cells import MOST_BYTES
from seraser_core.demo.config import demo_config
from seraser_core.demo.drawing import draw_picture
from seraser_core.errors import ConfigError, RunDirectoryError

PAIRS = {"desert": "camel", "forest": "deer", "snow": "penguin"}
CLASSES = [f"a {animal}" for animal in PAIRS.values()]


@pytest.fixture(scope="module")
def model():
    return load_model("demo")


@pytest.fixture(scope="module")
def drawn():
    """Pictures and masks: every animal in every place, 14 times."""
    given = [(animal, place) for _ in range(14) for animal in PAIRS.values() for place in PAIRS]
    seeds = range(2_100_000_000, 2_100_000_000 + len(given))
    both = [draw_picture(*what, seed=seed) for what, seed in zip(given, seeds, strict=True)]
    return np.stack([one for one, _ in both]), np.stack([mask for _, mask in both])


@pytest.fixture(scope="module")
def found(model, drawn):
    # Not SEraser: its steps take most of the time, and change nothing that is found.
    return find_shortcuts(
        model, drawn[0], CLASSES, masks=drawn[1], method="foreground", confirm=True
    )


def text_of(html: str) -> str:
    without_style = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", without_style).split())


def test_the_planted_pairs_are_found_by_name(found):
    pairs = {(one.words[0], one.class_name) for one in found.findings.shortcuts}
    assert pairs == {(place, f"a {animal}") for place, animal in PAIRS.items()}
    assert len(found) == 3
    assert found.findings.sentence() in repr(found)
    table = found.to_polars()
    assert table["kind"].to_list() == ["shortcut"] * 3
    assert set(table["class"]) == set(CLASSES)
    assert ((table["share_low"] < table["share"]) & (table["share"] < table["share_high"])).all()
    assert (table["q"] <= 0.05).all()


def test_objects_that_are_moved_there_become_the_class(found):
    transplants = [one.transplant for one in found.findings.shortcuts]
    for one in transplants:
        assert one.here.n == one.elsewhere.n > 80
        assert one.here.low > 0.3 > 0.1 > one.elsewhere.high
    table = found.to_polars()
    assert table["pasted_here"].to_list() == [one.here.value for one in transplants]
    assert table["pasted_elsewhere"].to_list() == [one.elsewhere.value for one in transplants]
    assert "Objects moved there" in text_of(found._repr_html_())


def test_a_cell_and_a_page_show_cards_with_examples(found, tmp_path):
    html = found._repr_html_()
    assert len(html.encode()) <= MOST_BYTES
    found.write_html(tmp_path / "shortcuts.html")
    page = (tmp_path / "shortcuts.html").read_text()
    for shown in (html, page):
        text = text_of(shown)
        assert found.findings.sentence() in text
        assert shown.count('<article class="card"') == 3
        assert shown.count('<li class="item">') == 9
        assert shown.count("<img") == 27
        assert "not kept" not in text
        assert re.search(r"\bimage \d+\b", text)
        assert not re.search(r"(?:src|href)=\"(?!data:image/webp;base64,|#)", shown)
    assert "group_prompt" in text_of(page)


def test_few_images_and_bad_ones_end_well(model, drawn, hasty):
    images = [*drawn[0][:20], "gone.png", "https://nowhere.invalid/<b>.png"]
    few = find_shortcuts(model, images, CLASSES, masks=[*drawn[1][:20], None, None])
    assert len(few) == 0
    assert few
    assert "2 images could not be used" in few.findings.notes[0]
    assert few.findings.sentence().startswith("Shortcuts were not looked for: 20 usable images")
    assert few.to_polars().height == 0
    assert "<article" not in few._repr_html_()
    none = find_shortcuts(model, ["gone.png"], CLASSES)
    assert "None of the 1 image can be used: missing 1" in repr(none)
    assert "None of the 1 image can be used" in text_of(none._repr_html_())


def test_images_that_are_given_again_count_once(model, drawn, found):
    again = find_shortcuts(
        model,
        np.concatenate([drawn[0]] * 2),
        CLASSES,
        masks=np.concatenate([drawn[1]] * 2),
        method="foreground",
        sample=len(drawn[0]),
    )
    before = [one.model_copy(update={"transplant": None}) for one in found.findings.shortcuts]
    assert again.findings.shortcuts == before
    assert again.findings.notes == ["Given more than once, and used once: 126 images."]


def test_copies_of_a_file_count_once(model, drawn, tmp_path, hasty):
    from PIL import Image

    for i in range(40):
        for copy in ("a", "b", "c"):
            Image.fromarray(drawn[0][i]).save(tmp_path / f"{i:02}{copy}.png")
    masks = [drawn[1][i // 3] for i in range(120)]
    found = find_shortcuts(model, tmp_path, CLASSES, masks=masks, method="foreground")
    assert (found.findings.sampled, found.findings.used) == (120, 40)
    assert found.findings.left_out.repeated == 80


def test_a_sample_is_of_the_smallest_hashes(model, drawn):
    whole = find_shortcuts(model, drawn[0], CLASSES, masks=drawn[1], method="foreground", sample=70)
    assert whole.findings.sampled == 70
    order = np.random.default_rng(0).permutation(len(drawn[0]))
    again = find_shortcuts(
        model, drawn[0][order], CLASSES, masks=drawn[1][order], method="foreground", sample=70
    )
    assert again.findings == whole.findings


def test_a_run_is_looked_at_without_computing_it_again(run, tmp_path, model, drawn):
    from PIL import Image

    rows = []
    for i, (picture, mask) in enumerate(zip(*drawn, strict=True)):
        for name, pixels in (("image", picture), ("mask", mask)):
            Image.fromarray(pixels).save(tmp_path / f"{name}{i:03}.png")
        rows.append({"image": f"image{i:03}.png", "mask": f"mask{i:03}.png"})
    pl.DataFrame(rows).write_csv(tmp_path / "table.csv")
    tree = demo_config(str(tmp_path / "table.csv"), str(tmp_path / "runs"))
    tree["dataset"] = {"path": tree["dataset"]["path"], "mask": "mask", "classes": CLASSES}
    tree["methods"] = ["foreground"]
    url, _ = run(tree)
    of_run = find_shortcuts(url)
    pairs = {(one.words[0], one.class_name) for one in of_run.findings.shortcuts}
    assert pairs == {(place, f"a {animal}") for place, animal in PAIRS.items()}
    assert of_run._repr_html_().count("<img") > 9
    assert find_shortcuts(Path(url)).findings == of_run.findings


WRONG = [
    ({"model": "runs/nowhere", "images": ["a.png"]}, "model", "leave the others out"),
    ({"method": "tpt"}, "method", "uses a foreground"),
    ({"sample": 0}, "sample", "1 or more"),
    ({"images": None}, "images", "a list of paths"),
    ({"classes": None}, "classes", "at least two"),
    ({"masks": None, "confirm": True}, "confirm", "give masks"),
    (
        {"method": {"name": "foreground", "auxiliary": "relevance"}, "confirm": True},
        "confirm",
        "a method that uses them",
    ),
    (
        {"model": "runs/a", "images": None, "classes": None, "confirm": True},
        "confirm",
        "`seraser shortcuts runs/a --confirm` does",
    ),
]


@pytest.mark.parametrize(("argument", "field", "remedy"), WRONG, ids=lambda x: str(x)[:40])
def test_mistakes_name_the_argument_and_the_remedy(model, drawn, argument, field, remedy):
    given = {"model": model, "images": drawn[0][:4], "classes": CLASSES, "masks": drawn[1][:4]}
    with pytest.raises(ConfigError) as told:
        find_shortcuts(**(given | argument))
    assert told.value.field == field
    assert remedy in told.value.remedy


def test_a_run_that_is_not_there_is_told(tmp_path):
    with pytest.raises(RunDirectoryError, match="nowhere"):
        find_shortcuts(tmp_path / "nowhere")
