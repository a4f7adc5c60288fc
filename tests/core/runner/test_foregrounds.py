"""Data sets whose foregrounds cannot be what was meant are refused when they are planned."""

from __future__ import annotations

import csv
import io

import numpy as np
import polars as pl
import pytest
from PIL import Image

from seraser_core import storage
from seraser_core.config import load_config
from seraser_core.errors import ConfigError, TransientError
from seraser_core.runner import foregrounds
from seraser_core.runner.plan import plan_run

COUNT = 8
SIZE = (60, 44)
BOX = (10, 8, 45, 40)


def png(pixels):
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def write(tree, tmp_path):
    """Writes a data set with masks and boxes; returns a configuration that needs `auxiliary`."""

    def to(root, auxiliary, inside=255, outside=0, box=BOX, **dataset):
        rng = np.random.default_rng(3)
        rows = []
        for i in range(COUNT):
            mask = np.full(SIZE[::-1], outside, np.uint8)
            mask[BOX[1] : BOX[3], BOX[0] : BOX[2]] = inside
            mask[BOX[1], BOX[0] + i] = outside
            storage.write_bytes(f"{root}/m{i}.png", png(mask))
            pixels = rng.integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
            storage.write_bytes(f"{root}/{i}.png", png(pixels))
            rows.append([f"{i}.png", f"m{i}.png", i % 3, *box])
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerows([["image", "mask", "y", "x0", "y0", "x1", "y1"], *rows])
        storage.write_bytes(f"{root}/t.csv", text.getvalue().encode())
        columns = {"label": "y", "mask": "mask", "box": ["x0", "y0", "x1", "y1"]}
        classes = tree["dataset"]["classes"]
        return {
            **tree,
            "dataset": {"path": f"{root}/t.csv", "classes": classes, **columns, **dataset},
            "methods": ["zero_shot", {"name": "foreground", "auxiliary": auxiliary}],
        }

    return lambda auxiliary, *, root=f"{tmp_path}/data", **more: to(root, auxiliary, **more)


def plan(tree):
    said = []
    return plan_run(load_config(tree), said.append), [x for x in said if x.startswith("WARNING")]


@pytest.mark.parametrize("place", ["disk", "s3"])
def test_a_trimap_is_refused_with_the_remedy(write, request, tmp_path, place):
    root = f"{tmp_path}/data" if place == "disk" else request.getfixturevalue("bucket")
    with pytest.raises(ConfigError, match=r"(?s)dataset\.mask: .*1, 2, and none is 0.*Oxford"):
        plan(write("mask", root=root, inside=1, outside=2))


def test_what_no_method_needs_is_not_looked_at(write):
    _, warnings = plan(write("relevance", inside=1, outside=2, box=(0, 0, 1, 1)))
    assert "look" not in " ".join(warnings)


def test_who_means_it_may_have_it(write):
    plan(write("mask", inside=1, outside=2, check_foregrounds=False))


def test_boxes_of_every_format_are_the_same_foreground(run, write):
    def logits(**how):
        _, rows = run(write("box", **how))
        assert set(rows["status"]) == {"ok"}
        return rows.filter(pl.col("method") == "foreground")["logits"].to_list()

    expected = logits()
    parts = tuple(side / whole for side, whole in zip(BOX, SIZE * 2, strict=True))
    lengths = (*BOX[:2], BOX[2] - BOX[0], BOX[3] - BOX[1])
    np.testing.assert_array_equal(logits(box=lengths, box_format="xywh"), expected)
    np.testing.assert_array_equal(logits(box=parts, box_format="fractions"), expected)


def test_boxes_of_another_format_are_refused(write):
    fractions = tuple(side / whole for side, whole in zip(BOX, SIZE * 2, strict=True))
    with pytest.raises(ConfigError, match=r"(?s)dataset\.box: .*box_format: fractions"):
        plan(write("box", box=fractions))
    with pytest.raises(ConfigError, match=r"(?s)dataset\.box: .*set dataset\.box_format: xywh"):
        plan(write("box", box=(30, 8, 25, 32)))


def test_the_format_of_boxes_makes_another_run(write):
    first, _ = plan(write("box"))
    tree = write("box", box_format="xywh")
    tree["dataset"]["check_foregrounds"] = False
    assert plan(tree)[0] != first


def test_masks_that_are_not_there_are_refused(write, tmp_path):
    tree = write("mask")
    for i in range(1, COUNT):
        (tmp_path / "data" / f"m{i}.png").unlink()
    plan(tree)  # the run will tell which
    (tmp_path / "data" / "m0.png").unlink()
    with pytest.raises(
        ConfigError, match=r"(?s)dataset\.mask: none of 8 .*no file .*m0\.png.*paths"
    ):
        plan(tree)
    tree["dataset"]["check_foregrounds"] = False
    plan(tree)


def test_masks_of_a_table_that_are_not_there_are_refused(write, tmp_path):
    tree = write("mask")
    rows = "".join(f"{i}.png,none{i}.png\n" for i in range(COUNT))
    (tmp_path / "masks.csv").write_text(f"id,mask\n{rows}")
    del tree["dataset"]["mask"]
    tree["dataset"]["masks"] = str(tmp_path / "masks.csv")
    with pytest.raises(ConfigError, match=r"(?s)dataset\.masks: none of 8 .*no file .*none0"):
        plan(tree)


@pytest.mark.parametrize(
    ("fault", "said"),
    [(OverflowError("x"), "OverflowError"), (TransientError("no answer of s"), "no answer of s")],
)
@pytest.mark.parametrize("auxiliary", ["mask", "box"])
def test_a_check_that_could_not_be_made_is_told(write, monkeypatch, auxiliary, fault, said):
    def fail(*_):
        raise fault

    monkeypatch.setattr(foregrounds, "fetch_image", fail)
    _, warnings = plan(write(auxiliary))
    assert any("none of 8" in line and line.endswith(said) for line in warnings)
