"""The progress bar on narrow terminals."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from seraser_core.cli import progress
from seraser_core.cli.progress import RunDisplay
from seraser_core.results.records import Timings


def timings(**seconds):
    """Timings of a shard, whose other seconds are none."""
    none = {name: 0.0 for name in Timings.model_fields if name.endswith("_s")}
    rest = {"images": 1, "batch_size": 1, "parallel_shards": 1}
    return Timings(**{**none, **seconds}, **rest, methods={}, views={}, device={})


@pytest.mark.parametrize("columns", [80, 200])
def test_the_speed_and_its_bound_are_shown_whole(monkeypatch, columns):
    console = Console(file=io.StringIO(), force_terminal=True, width=columns)
    display = RunDisplay(console)
    monkeypatch.setattr(progress.Task, "speed", 12345.6)
    monkeypatch.setattr(progress, "bound_by", lambda _: "overhead")
    with display:
        display.planned("runs/large", 0, 1_200_000)
        display.advance(612_345)
        display.committed(timings(wall_s=1.0))
    last = console.file.getvalue().splitlines()[-2]  # the last one shows the cursor again
    assert "612345/1200000" in last
    assert "12,345.6 images/s" in last
    assert "bound by overhead" in last
    assert "━" in last


def test_a_shard_that_begins_again_has_no_speed():
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    with RunDisplay(console) as display:
        display.planned("runs/first", 0, 10)
        for images in (5, -5):
            display.advance(images)
    last = console.file.getvalue().splitlines()[-2]
    assert "0/10" in last
    assert "images/s" not in last


def test_the_bound_is_that_of_the_run_shown():
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    display = RunDisplay(console)
    with display:
        display.planned("runs/first", 0, 10)
        display.committed(timings(wall_s=100.0, model_s=100.0))
        display.planned("runs/second", 0, 10)
        display.committed(timings(wall_s=2.0, data_wait_s=2.0))
    first, second = console.file.getvalue().splitlines()[-3:-1]
    assert "bound by model" in first
    assert "bound by decode" in second


def test_bars_of_several_runs_have_names():
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    with RunDisplay(console) as display:
        display.name("runs/first", "birds [small], b32")
        display.planned("runs/first", 0, 10)
        display.planned("runs/second", 0, 10)
    first, second = console.file.getvalue().splitlines()[-3:-1]
    assert "birds [small], b32" in first
    assert "images" in second


def test_a_log_has_a_line_now_and_then(monkeypatch):
    console = Console(file=io.StringIO(), width=200)
    display = RunDisplay(console)
    with display:
        display.planned("runs/large", 0, 4)
        display.advance(1)
        display.committed(timings(wall_s=1.0))
        assert "1 of 4" not in console.file.getvalue()
        monkeypatch.setattr(progress, "_SAY_EVERY_S", 0.0)
        display.committed(timings(wall_s=1.0))
        assert " 1 of 4 images" in console.file.getvalue()
        display.advance(1)
        assert " 2 of 4 images" in console.file.getvalue()
        monkeypatch.undo()
        display.advance(2)
    lines = console.file.getvalue().splitlines()
    assert " 4 of 4 images" in lines[-1]
    assert not any("━" in line for line in lines)
