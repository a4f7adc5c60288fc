"""Two workers have the same shard: at once, or one after the other has paused."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from harness import KILLED, Undisturbed, all_but_slow

from seraser_core.results.verify import verify

BEFORE = ["before attempts", "before commits", "before predictions"]
UNRENAMED = ["attempts unrenamed", "commits unrenamed", "predictions unrenamed"]


@pytest.mark.parametrize(
    "step",
    all_but_slow(
        ["taken", *BEFORE, *UNRENAMED, "after commits"], "taken", *UNRENAMED, "after commits"
    ),
)
def test_a_worker_that_wakes_after_another_has_done_its_work(workers, tree, undisturbed, step):
    sleeper = workers.pause(tree, step)
    workers.finish(tree)
    undisturbed.check_finished(tree)
    workers.go_on(sleeper)
    undisturbed.check_finished(tree)


@pytest.mark.parametrize("step", all_but_slow(BEFORE, "before commits"))
def test_a_worker_that_wakes_in_object_storage(workers, tree, undisturbed, bucket, step):
    tree["output"] = f"{bucket}/runs"
    sleeper = workers.pause(tree, step)
    workers.finish(tree)
    workers.go_on(sleeper)
    undisturbed.check_finished(tree)


@pytest.mark.parametrize(
    "step", all_but_slow(["scored", *BEFORE], "before predictions", "before commits")
)
def test_two_workers_side_by_side(workers, tree, undisturbed, step):
    """Both stop at the same step of the same shard, and go on from there at once."""
    first, second = (workers.start(tree, {"step": step, "number": signal.SIGSTOP}) for _ in "ab")
    assert workers.wait(first) is workers.wait(second) is None
    workers.go_on(first, second)
    undisturbed.check_finished(tree)


@pytest.mark.parametrize("step", ["after attempts", "predictions unrenamed"])
def test_a_worker_that_dies_over_a_finished_shard(workers, tree, undisturbed, step):
    """It has written files of a shard that another one committed."""
    sleeper = workers.start(
        tree,
        {"step": "before attempts", "number": signal.SIGSTOP},
        {"step": step},
    )
    assert workers.wait(sleeper) is None
    workers.finish(tree)
    os.kill(sleeper, signal.SIGCONT)
    assert workers.wait(sleeper) == KILLED
    undisturbed.check_finished(tree)


@pytest.mark.parametrize(
    "step", all_but_slow(["taken", "before attempts", "before commits"], "before commits")
)
def test_a_worker_that_wakes_and_finds_other_bytes(workers, tree, undisturbed, step):
    """Other numbers of images at once round otherwise, as another device does."""
    sleeper = workers.pause(tree, step)
    workers.finish({**tree, "runtime": {"batch_size": 5, "decode_threads": 1}})
    directory = undisturbed.directory(tree)
    other = Path(directory.predictions_path("00000")).read_bytes()
    assert other != undisturbed.predictions["00000"]
    workers.go_on(sleeper)
    report = verify(directory.url)
    assert report.problems == []
    assert report.rows == undisturbed.rows


def wake_with_error_rows(workers, tree, tmp_path, step):
    """A worker that saw no images wakes up when another one has done its work with them."""
    data = tmp_path / "data"
    shutil.copytree(Path(tree["dataset"]["path"]).parent, data)
    tree["dataset"]["path"] = str(data / "metadata.csv")
    expected = Undisturbed.of(workers, tree, tmp_path / "whole")
    for image in data.glob("picture*.png"):
        image.rename(image.with_suffix(".away"))
    sleeper = workers.pause(tree, step)
    for image in data.glob("*.away"):
        image.rename(image.with_suffix(".png"))
    workers.finish(tree)
    expected.check_finished(tree)
    workers.go_on(sleeper)
    expected.check_finished(tree)


@pytest.mark.parametrize(
    "step",
    all_but_slow(
        ["before attempts", "attempts unrenamed", "before commits", "commits unrenamed"],
        "before commits",
    ),
)
def test_a_worker_that_wakes_with_error_rows(workers, tree, tmp_path, step):
    """Its commit would be the one that is there, which is never replaced."""
    wake_with_error_rows(workers, tree, tmp_path, step)


@pytest.mark.parametrize(
    "step",
    all_but_slow(
        ["before attempts", "attempts half sent", "before commits", "commits half sent"],
        "before commits",
    ),
)
def test_a_worker_that_wakes_with_error_rows_in_object_storage(
    workers, tree, tmp_path, bucket, step
):
    tree["output"] = f"{bucket}/runs"
    wake_with_error_rows(workers, tree, tmp_path, step)
