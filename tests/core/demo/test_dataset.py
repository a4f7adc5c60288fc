"""The demo data set on disk."""

from __future__ import annotations

import csv
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from seraser_core.demo.dataset import CONTROL, SHORTCUT, picture_seed, plan_split, write_dataset
from seraser_core.demo.training.captions import USUAL


def rows_of(table):
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def snapshot(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("demo"), test=8, validation=4)


def test_layout(table):
    rows = rows_of(table)
    assert table.name == "metadata.csv"
    assert list(rows[0]) == ["id", "filename", "mask", "y", "a", "split"]
    assert Counter(row["split"] for row in rows) == {"1": 4, "2": 8}
    assert len({row["id"] for row in rows}) == 12
    for row in rows:
        image = Image.open(table.parent / row["filename"])
        mask = np.asarray(Image.open(table.parent / row["mask"]))
        assert image.mode == "RGB"
        assert image.size == mask.shape[::-1]
        assert 0.02 < (mask > 0).mean() < 0.5
        assert SHORTCUT.classes[int(row["y"])].removeprefix("a ") in row["filename"]
        assert SHORTCUT.attributes[int(row["a"])] in row["filename"]


def test_groups_are_balanced():
    for split, count in (("validation", 120), ("test", 480)):
        groups = Counter((item.y, item.a) for item in plan_split(split, count, seed=0))
        assert set(groups.values()) == {count // 4}
        assert len(groups) == 4
    with pytest.raises(ValueError, match="multiple of 4"):
        plan_split("test", 10, seed=0)


def test_the_control_shows_other_animals_where_neither_lives(tmp_path):
    rows = rows_of(write_dataset(tmp_path, test=4, validation=0, task=CONTROL))
    assert {row["id"].rsplit("_", 1)[0] for row in rows} == {
        f"{animal}_{place}" for animal in ("camel", "penguin") for place in CONTROL.attributes
    }
    assert not {USUAL[name.removeprefix("a ")] for name in CONTROL.classes} & {*CONTROL.attributes}


def test_no_picture_is_in_two_splits_or_seeds():
    seeds = [
        picture_seed(seed, split, index)
        for seed in (0, 1)
        for split in ("train", "validation", "test")
        for index in (0, 1, 999_999)
    ]
    assert len(set(seeds)) == len(seeds)
    with pytest.raises(ValueError, match="at most"):
        picture_seed(0, "test", 1_000_000)


def test_same_seed_gives_the_same_bytes(table, tmp_path):
    write_dataset(tmp_path, test=8, validation=4)
    assert snapshot(tmp_path) == snapshot(table.parent)


def test_writing_again_changes_nothing_and_mends_what_is_missing(tmp_path):
    table = write_dataset(tmp_path, test=4, validation=4)
    before = snapshot(tmp_path)
    times = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.png")}
    lost = tmp_path / rows_of(table)[5]["mask"]
    lost.unlink()
    table.unlink()
    write_dataset(tmp_path, test=4, validation=4)
    assert snapshot(tmp_path) == before
    kept = {p: t for p, t in times.items() if lost.stem != p.stem}
    assert {p: p.stat().st_mtime_ns for p in kept} == kept


def test_another_size_or_seed_replaces_the_table(tmp_path):
    write_dataset(tmp_path, test=4, validation=4)
    assert len(rows_of(write_dataset(tmp_path, test=8, validation=0))) == 8
    first = rows_of(write_dataset(tmp_path, test=4, validation=0))[0]["id"]
    assert rows_of(write_dataset(tmp_path, seed=1, test=4, validation=0))[0]["id"] != first
