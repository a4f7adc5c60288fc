"""Disks that are full, that take no long files, and that may only be read."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from disks import small_disk

READ = {"step": "fetched"}
"""Kills a worker that begins to work."""


@pytest.fixture
def disk(tmp_path, tree):
    """A disk of its own for the run."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder) as disk:
        tree["output"] = str(disk.path / "runs")
        yield disk


def failed(workers, pid):
    """What a worker printed that fails without a traceback."""
    code, printed = workers.wait(pid), workers.printed(pid)
    assert code == 1, printed
    return printed


def resume(workers, tree, undisturbed):
    assert not list(Path(tree["output"]).rglob("*.tmp"))
    undisturbed.check_committed(tree)
    workers.finish(tree)
    undisturbed.check_finished(tree)


@pytest.mark.parametrize("kind", ["plan", "run.json", "attempts", "commits"])
def test_a_full_disk(workers, tree, undisturbed, disk, kind):
    tree["runtime"]["retries"] = 0
    pid = workers.pause(tree, f"before {kind}", 1 if kind == "run.json" else 2)
    disk.fill()
    os.kill(pid, signal.SIGCONT)
    printed = failed(workers, pid)
    assert "cannot write" in printed
    assert "No space left on device" in printed
    disk.clear()
    resume(workers, tree, undisturbed)


def test_a_full_disk_that_has_room_again_before_the_shard_is_tried_again(
    workers, tree, undisturbed, disk
):
    tries_again = {"step": "taken", "nth": 4, "number": signal.SIGSTOP}
    full = {"step": "before attempts", "nth": 3, "number": signal.SIGSTOP}
    pid = workers.start(tree, full, tries_again)
    assert workers.wait(pid) is None
    disk.fill()
    os.kill(pid, signal.SIGCONT)
    assert workers.wait(pid) is None
    disk.clear()
    workers.go_on(pid)
    undisturbed.check_finished(tree)


def test_a_file_that_may_not_become_long_enough(workers, tree, undisturbed):
    """A write that ends in the middle, which a full disk can do as well."""
    tree["runtime"]["retries"] = 0
    longest = min(map(len, undisturbed.predictions.values())) - 1
    printed = failed(workers, workers.start(tree, file_bytes=longest))
    assert "3 of 3 shards failed" in printed
    assert "File too large" in printed
    assert not list(Path(tree["output"]).rglob("*.parquet.*"))
    assert undisturbed.check_committed(tree) == []
    resume(workers, tree, undisturbed)


def test_a_disk_that_may_only_be_read(workers, tree, disk):
    disk.become("ro")
    printed = failed(workers, workers.start(tree, READ))
    assert "ConfigError: output: " in printed
    assert "nothing can be written there" in printed
    assert "Read-only file system" in printed


def test_a_disk_that_may_only_be_read_from_some_moment_on(workers, tree, undisturbed, disk):
    tree["runtime"]["retries"] = 0
    pid = workers.pause(tree, "before commits", 2)
    disk.become("ro")
    os.kill(pid, signal.SIGCONT)
    assert "Read-only file system" in failed(workers, pid)
    disk.become("rw")
    resume(workers, tree, undisturbed)


def test_an_output_that_is_a_file(workers, tree, tmp_path):
    (tmp_path / "file").touch()
    tree["output"] = str(tmp_path / "file" / "runs")
    printed = failed(workers, workers.start(tree, READ))
    assert "ConfigError: output: " in printed
    assert "nothing can be written there" in printed


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_without_the_right_to_write(workers, tree, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    tree["output"] = str(tmp_path / "locked" / "runs")
    assert "nothing can be written there" in failed(workers, workers.start(tree, READ))
