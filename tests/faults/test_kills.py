"""A worker is killed at every step of a shard's life, and another one goes on."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest
import s3fs
from harness import KILLED, Undisturbed, all_but_slow
from polars.testing import assert_frame_equal

from seraser_core.config import load_config
from seraser_core.errors import SeraserError
from seraser_core.results.verify import verify
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run
from seraser_core.runner.retry import Retry

COMPUTING = ["taken", "fetched", "decoded", "tuned", "scored"]
WRITING = ["before attempts", "after attempts", "before commits", "after commits"]
WRITING += ["before predictions", "after predictions"]
LOCAL = ["attempts opened", "attempts unrenamed", "commits opened", "commits unrenamed"]
LOCAL += ["commits named", "predictions unrenamed"]
PLANNING = ["before plan", "plan unrenamed", "after plan"]
REMOTE = ["attempts half sent", "commits half sent"]
IN_SECOND_SHARD = {"fetched": 8, "decoded": 8, "tuned": 18, "scored": 4}
"""Of three shards of 5, 5 and 4 images, in batches of 2: in the middle of it."""


def kill_and_go_on(workers, tree, undisturbed, step):
    trap = {"step": step, "nth": IN_SECOND_SHARD.get(step, 2)}
    assert workers.run(tree, trap) == KILLED
    before = undisturbed.check_committed(tree)
    workers.finish(tree)
    undisturbed.check_finished(tree)
    return before


@pytest.mark.parametrize(
    "step",
    all_but_slow(
        [*PLANNING, *COMPUTING, *WRITING, *LOCAL],
        "before plan",
        "fetched",
        "commits unrenamed",
        *WRITING,
    ),
)
def test_a_worker_killed_on_a_local_disk(workers, tree, undisturbed, step):
    before = kill_and_go_on(workers, tree, undisturbed, step)
    committed = step in ("commits named", "after commits") or "predictions" in step
    assert len(before) >= 2 if committed else len(before) < 3


@pytest.mark.parametrize(
    "step",
    all_but_slow(["fetched", "tuned", *WRITING, *REMOTE], "commits half sent", "after predictions"),
)
def test_a_worker_killed_in_object_storage(workers, tree, undisturbed, bucket, step):
    tree["output"] = f"{bucket}/runs"
    kill_and_go_on(workers, tree, undisturbed, step)


@pytest.mark.parametrize("step", all_but_slow(["scored", *WRITING], "before commits"))
def test_a_worker_killed_with_shards_side_by_side(workers, tree, undisturbed, step):
    tree["runtime"]["parallel_shards"] = 2
    kill_and_go_on(workers, tree, undisturbed, step)


@pytest.mark.slow
def test_a_worker_killed_that_fetches_from_object_storage(workers, tree, tmp_path, bucket):
    fs = s3fs.S3FileSystem()
    fs.put(str(Path(tree["dataset"]["path"]).parent), f"{bucket}/data", recursive=True)
    tree["dataset"]["path"] = f"{bucket}/data/metadata.csv"
    expected = Undisturbed.of(workers, tree, tmp_path / "from there")
    for step in ("decoded", "commits half sent"):
        there = {**tree, "output": f"{bucket}/{step.replace(' ', '-')}"}
        kill_and_go_on(workers, there, expected, step)


@pytest.mark.slow
def test_a_worker_killed_that_saves_masks(workers, tree, tmp_path):
    tree["methods"] = [{"name": "foreground", "auxiliary": "relevance"}]
    tree["save_masks"] = True
    del tree["dataset"]["mask"]
    expected = Undisturbed.of(workers, tree, tmp_path / "masks")
    assert len(expected.masks) == 14
    for step in ("masks unrenamed", "before attempts"):
        there = {**tree, "output": str(tmp_path / step)}
        kill_and_go_on(workers, there, expected, step)


def forgive_rounding(found, expected):
    """Equal rows, but for what rounding in other batches changes."""
    assert_frame_equal(found, expected, rel_tol=1e-4, abs_tol=1e-4)


@pytest.mark.parametrize(
    "away", [pytest.param(False, marks=pytest.mark.slow), True], ids=["images there", "images away"]
)
@pytest.mark.parametrize(
    "step",
    all_but_slow(
        ["scored", *WRITING, "predictions unrenamed"],
        "before commits",
    ),
)
def test_a_worker_killed_that_computes_failed_images_again(workers, tree, tmp_path, step, away):
    """Rows that were good stay so, even if the images go away in between."""
    shutil.copytree(Path(tree["dataset"]["path"]).parent, tmp_path / "data")
    tree["dataset"]["path"] = str(tmp_path / "data" / "metadata.csv")
    images = sorted((tmp_path / "data").glob("picture*.png"))
    url = plan_run(load_config({**tree, "output": str(tmp_path / "whole")}))
    run_local(url)
    expected = rows_of(url)
    for path in images[3::4]:
        path.rename(path.with_suffix(".away"))
    url = plan_run(load_config(tree))
    run_local(url)
    before = rows_of(url)
    assert set(before["error_code"].drop_nulls()) == {"missing"}
    for path in images[3::4]:
        path.with_suffix(".away").rename(path)
    assert workers.run(tree, {"step": step, "nth": 2}, retry=True) == KILLED
    if away:
        (tmp_path / "data").rename(tmp_path / "data away")
        with suppress(SeraserError):
            run_local(url)
        good = before.filter(pl.col("status") == "ok")
        forgive_rounding(rows_of(url).join(good, on=["item_id", "method"], how="semi"), good)
        (tmp_path / "data away").rename(tmp_path / "data")
    workers.finish(tree)
    workers.finish(tree, retry=True, report=True)
    assert verify(url).problems == []
    forgive_rounding(rows_of(url), expected)


@pytest.mark.parametrize(
    "step",
    all_but_slow(["scored", *WRITING], "before commits"),
)
def test_a_worker_killed_that_computes_mended_images_again(workers, tree, tmp_path, step):
    """Their files have other sizes than were planned; all who come later take the same files."""
    for i in range(2):
        (tmp_path / "data" / f"class {i}").mkdir(parents=True)
        for image in Path(tree["dataset"]["path"]).parent.glob(f"picture 0[{4 * i}-{4 * i + 3}]*"):
            shutil.copy(image, tmp_path / "data" / f"class {i}")
    tree["dataset"] = {"format": "folder", "path": str(tmp_path / "data")}
    tree["methods"] = ["zero_shot", {"name": "foreground", "auxiliary": "relevance"}]
    url = plan_run(load_config({**tree, "output": str(tmp_path / "whole")}))
    run_local(url)
    expected = rows_of(url)
    images = sorted((tmp_path / "data").rglob("*.png"))[::3]
    whole = [image.read_bytes() for image in images]
    for image, data in zip(images, whole, strict=True):
        image.write_bytes(data[:100])
    url = plan_run(load_config(tree))
    run_local(url)
    assert set(rows_of(url)["error_code"].drop_nulls()) == {"truncated"}
    for image, data in zip(images, whole, strict=True):
        image.write_bytes(data)
    assert workers.run(tree, {"step": step, "nth": 2}, run=url, retry=True) == KILLED
    workers.finish(tree, run=url)
    if Retry().shards(url):
        workers.finish(tree, run=url, retry=True)
    forgive_rounding(rows_of(url), expected)
    for shard in ("00000", "00001"):  # all have to be computed again
        Path(url, "predictions", f"{shard}.parquet").unlink()
        for attempt in Path(url, "attempts").glob(f"{shard}-*"):
            attempt.unlink()
    workers.finish(tree, run=url, report=True)
    forgive_rounding(rows_of(url), expected)
    assert verify(url).problems == []


def rows_of(url):
    """All rows, but for the name of the run."""
    return pl.read_parquet(f"{url}/predictions/*.parquet").sort("item_id", "method").drop("run_id")
