"""Masks that a run makes: the same in the run, as files, and in another run."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from seraser_core import storage
from seraser_core.config import load_config
from seraser_core.errors import ConfigError, SeraserError
from seraser_core.results.mask_table import write_mask_table
from seraser_core.results.shards import RunDirectory
from seraser_core.results.status import status
from seraser_core.results.verify import verify
from seraser_core.runner import fitting, mask_making, scoring
from seraser_core.runner.plan import plan_run

SIDE = 32  # of the tiny model's input, so that nothing is resized


@pytest.fixture
def small(tree, tmp_path):
    """A configuration over nine pictures of the model's size without masks, one of them bad."""
    folder = tmp_path / "small"
    folder.mkdir()
    rng = np.random.default_rng(2)
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "file", "y", "a"])
        writer.writeheader()
        for i in range(9):
            pixels = rng.integers(0, 256, (SIDE // 4, SIDE // 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((SIDE, SIDE)).save(folder / f"{i}.png")
            writer.writerow({"id": f"item-{i}", "file": f"{i}.png", "y": i % 3, "a": i % 2})
    (folder / "4.png").write_bytes(b"no picture")
    dataset = {**tree["dataset"], "path": str(folder / "table.csv")}
    del dataset["mask"]
    return {**tree, "dataset": dataset}


def tuned_with(auxiliary):
    return [
        {"name": "seraser", "auxiliary": auxiliary, "steps": 3, "lr": 0.005},
        {"name": "seraser_task", "auxiliary": auxiliary, "sample": 5, "steps": 3, "lr": 0.005},
        {"name": "foreground", "auxiliary": auxiliary},
    ]


def logits(rows):
    return np.array(rows.filter(pl.col("status") == "ok")["logits"].to_list())


def test_saved_masks_as_a_column_give_what_relevance_gives(run, small):
    _, inline = run({**small, "methods": tuned_with("relevance")})
    methods = [{"name": "foreground", "auxiliary": "relevance"}]
    url, made = run({**small, "methods": methods, "save_masks": True})
    assert verify(url).problems == []
    table = write_mask_table(url, "relevance")
    assert (table.images, table.masks) == (9, 8)
    assert made.filter(pl.col("status") == "error")["item_id"].to_list() == ["item-4"]
    _, by_column = run({**small, "dataset": table.dataset, "methods": tuned_with("mask")})
    assert by_column["status"].equals(inline["status"])
    assert by_column["label"].equals(inline["label"])
    assert by_column["group"].equals(inline["group"])
    np.testing.assert_array_equal(logits(by_column), logits(inline))
    for path in pl.read_parquet(table.url)["mask"].drop_nulls():
        mask = np.asarray(Image.open(Path(table.url).parent / path))
        assert mask.shape == (SIDE, SIDE)
        assert 0 < mask.mean() < 1


@pytest.fixture
def segmented(small, segment_models):
    """The same pictures, for the tiny segmenter; its scores are high enough to find boxes."""
    options = {"prompt": "a waterbird", "box_threshold": 0.7, "nms": 0.5}
    return {**small, "segment": segment_models | options}


def test_masks_of_the_segmenter_are_kept_and_used_again(run, segmented):
    tree = {**segmented, "methods": tuned_with("segment")}
    url, first = run(tree)
    assert first["status"].to_list().count("ok") == 8 * 3
    kept = sorted(Path(url, "masks").rglob("*.png"))
    assert len(kept) == 8
    for file in Path(url, "commits").iterdir():
        file.unlink()
    for path, written in [(kept[0], b""), (kept[1], None)]:  # damaged, and lost
        path.unlink() if written is None else path.write_bytes(written)
    times = {path: path.stat().st_mtime_ns for path in kept[2:]}
    _, again = run(tree)
    np.testing.assert_array_equal(logits(again), logits(first))
    assert {path: path.stat().st_mtime_ns for path in kept[2:]} == times
    table = write_mask_table(url, "segment")
    column = {**segmented, "dataset": table.dataset, "methods": tuned_with("mask")}
    np.testing.assert_array_equal(logits(run(column)[1]), logits(first))


@pytest.mark.parametrize(("kind", "beside"), [("relevance", "model"), ("segment", "decode")])
def test_keeping_masks_is_no_time_of_the_model_or_the_decoder(
    run, small, segmented, kind, beside, monkeypatch
):
    """A clock that jumps while a mask is written says what it is counted as."""
    jumps, jump_s, clock, write = [], 1e6, time.perf_counter, storage.write_bytes

    def write_late(url, data):
        if "/masks/" in url:
            jumps.append(url)
        write(url, data)

    monkeypatch.setattr(time, "perf_counter", lambda: clock() + jump_s * len(jumps))
    monkeypatch.setattr(storage, "write_bytes", write_late)
    methods = [{"name": "foreground", "auxiliary": kind}]
    tree = {**(small if kind == "relevance" else segmented), "methods": methods}
    tree |= {"save_masks": kind == "relevance", "shard": {"max_items": 9}}
    url, _ = run(tree, "runtime.decode_threads=1")  # only what writes is seen to take long
    seconds = status(url)["seconds"]
    assert len(jumps) == 8
    assert seconds["masks"] >= 8 * jump_s
    assert seconds[beside] < jump_s


def test_a_mask_that_is_there_is_taken_for_the_segmenters(run, segmented):
    """Or the test above would pass if masks were only written."""
    tree = {**segmented, "methods": [{"name": "foreground", "auxiliary": "segment"}]}
    url = plan_run(load_config(tree))
    directory = RunDirectory(url)
    for index in range(9):
        path = Path(directory.mask_path("segment", index))
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ones((SIDE, SIDE), dtype=bool)).save(path)
    _, rows = run(tree)
    _, whole = run({**segmented, "methods": ["zero_shot"]})
    np.testing.assert_array_equal(logits(rows), logits(whole))


def test_the_segmenters_weights_and_thresholds_make_another_run(segmented, segment_models):
    def run_id(*overrides):
        tree = {**segmented, "methods": tuned_with("segment")}
        return RunDirectory(plan_run(load_config(tree, overrides))).run.run_id

    assert run_id() == run_id()
    assert run_id() != run_id("segment.nms=0.9")
    assert run_id() != run_id("segment.prompt=bird.")


def test_of_a_task_only_the_samples_relevance_is_computed(run, small, monkeypatch):
    seen = []
    monkeypatch.setattr(
        fitting, "add_relevance", lambda *given: [seen.append(len(given[1]["image"])), add(*given)]
    )
    monkeypatch.setattr(scoring, "add_relevance", lambda *_: pytest.fail("of an image alone"))
    add = mask_making.add_relevance
    _, rows = run({**small, "methods": tuned_with("relevance")[1:2]})
    assert sum(seen) >= 5
    assert rows["status"].to_list().count("ok") == 8


def test_masks_that_are_gone_are_made_again(run, small):
    tree = {**small, "methods": [{"name": "foreground", "auxiliary": "relevance"}]}
    tree["save_masks"] = True
    url, _ = run(tree)
    before = {path: path.read_bytes() for path in Path(url, "masks").rglob("*.png")}
    lost, empty, *_ = before
    lost.unlink()
    empty.write_bytes(b"")
    with pytest.raises(SeraserError, match="2 masks are gone\nhint: the same command"):
        write_mask_table(url, "relevance")
    run(tree)
    assert write_mask_table(url, "relevance").masks == 8
    assert {path: path.read_bytes() for path in before} == before


def test_the_printed_options_are_those_of_the_data_set(run, small):
    dataset = {
        **small["dataset"],
        "mask": "file",  # the data set's own masks, which are replaced
        "classes": [*small["dataset"]["classes"], "a ghost"],
        "allow_empty_classes": True,
        "limits": {"max_pixels": 5000},
        "box": ["x", "y0", "x1", "y1"],
        "attributes": None,
    }
    table = pl.read_csv(dataset["path"]).with_columns(
        x=pl.lit(1.0), y0=pl.lit(2), x1=pl.lit(20), y1=pl.lit(30), a=pl.col("y") * 5
    )
    table.write_csv(dataset["path"])
    methods = [{"name": "foreground", "auxiliary": "relevance"}]
    url, first = run({**small, "dataset": dataset, "methods": methods, "save_masks": True})
    made = write_mask_table(url, "relevance")
    kept = {name: value for name, value in dataset.items() if value is not None and name != "mask"}
    assert made.dataset == {
        **kept,
        "format": "table",
        "template": "a photo of {}",
        "masks": made.url,
    }
    methods = [{"name": "foreground", "auxiliary": "box"}]
    _, second = run({**small, "dataset": made.dataset, "methods": methods})
    columns = ["item_id", "label_name", "attribute", "group", "status"]
    assert second.select(columns).equals(first.select(columns))


def test_a_mask_table_and_its_masks_may_be_moved(run, small, tmp_path):
    methods = [{"name": "foreground", "auxiliary": "relevance"}]
    url, expected = run({**small, "methods": methods, "save_masks": True})
    made = write_mask_table(url, "relevance")
    moved = tmp_path / "moved"
    Path(url, "masks").rename(moved)
    dataset = made.dataset | {"masks": str(moved / "relevance.parquet")}
    methods = [{"name": "foreground", "auxiliary": "mask"}]
    _, found = run({**small, "dataset": dataset, "methods": methods})
    np.testing.assert_array_equal(logits(found), logits(expected))


def test_saved_masks_are_of_whole_images(small):
    with pytest.raises(ConfigError, match=r"(?s)save_masks: .*dataset\.decode: full"):
        load_config(small, ["save_masks=true", "dataset.decode=reduced"])


def test_masks_are_kept_only_on_request(run, small):
    url, _ = run({**small, "methods": tuned_with("relevance")})
    assert not Path(url, "masks").exists()


def test_relevance_and_its_options_make_another_run(small):
    def run_id(*overrides, auxiliary="relevance"):
        tree = {**small, "methods": tuned_with(auxiliary)[:2]}
        return RunDirectory(plan_run(load_config(tree, overrides))).run.run_id

    assert run_id() != run_id("relevance.threshold=0.5")
    assert run_id() != run_id("relevance.neutral=a picture")
    plain = run_id(auxiliary="noise")
    assert plain == run_id("relevance.threshold=0.5", auxiliary="noise")
    assert plain != run_id("save_masks=true", auxiliary="noise")


@pytest.mark.parametrize("size", [(32, 32), (64, 32), (31, 90), (33, 32), (90, 7), (5, 3)])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_restored_masks_lie_where_the_model_looked(size, mode):
    from open_clip.transform import PreprocessCfg

    from seraser_core.models.preprocessing import Preprocessing

    preprocessing = Preprocessing(PreprocessCfg(size=SIDE, resize_mode=mode))
    seen = preprocessing.resize(Image.new("RGB", size, (255, 255, 255)))[0].numpy() > 127
    whole = preprocessing.restore(seen, size)
    assert whole.shape == size[::-1]
    shown = min(size) ** 2 if mode == "shortest" else size[0] * size[1]
    assert abs(int(whole.sum()) - shown) <= 2 * max(size)
    again = preprocessing.resize(Image.fromarray(whole).convert("RGB"))[0].numpy() > 127
    assert (again != seen).mean() <= 2 * max(1 / SIDE, 1 / min(size))
    upper = np.zeros((SIDE, SIDE), dtype=bool)
    upper[: SIDE // 2] = True
    rows = np.flatnonzero(preprocessing.restore(upper & seen, size).any(1))
    pixel = -(-size[1] // SIDE)  # of the image in one of the model's, or more where it is padded
    if mode == "longest":
        pixel = -(-max(size) // SIDE)
    assert rows.max() <= size[1] / 2 + pixel
    left = preprocessing.restore(upper.T & seen, size)
    assert left.any()
    assert np.flatnonzero(left.any(0)).max() <= size[0] / 2 + -(-max(size) // SIDE)
