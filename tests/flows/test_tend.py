"""The flow `tend`: it finishes what was left, once, and gives up where that is no use."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.tend import tend
from seraser_core.config import load_config
from seraser_core.errors import SeraserError
from seraser_core.results.idle import MOST_TRIES, unfinished
from seraser_core.results.reading import read_report
from seraser_core.results.series import Series
from seraser_core.results.shards import RunDirectory
from seraser_core.results.summary import is_finished
from seraser_core.results.verify import verify
from seraser_core.runner.plan import plan_run
from seraser_core.runner.shard import run_shard

pytestmark = pytest.mark.usefixtures("prefect_server")


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_it_finishes_what_was_left_and_touches_nothing_else(tree, finished_once):
    output = Path(tree["output"])
    finished = shutil.copytree(finished_once, output / finished_once.name)
    before = files(finished)
    left = plan_run(load_config(tree, ["name=left"]))
    run_shard(left, "00001")
    RunDirectory(left).begin("00000", 1)  # by a worker that died
    (waiting,) = tend(str(output))
    assert waiting.startswith(f"under way: {left} (1 of 3 shards done)")
    assert len(RunDirectory(left).commits()) == 1
    (done,) = tend(str(output), idle_minutes=0)
    assert done == f"finished: {left} (1 of 3 shards done) before"
    assert is_finished(left)
    assert verify(left).problems == []
    assert files(finished) == before
    once = files(output)
    assert tend(str(output), idle_minutes=0) == []
    assert files(output) == once


@pytest.mark.slow
def test_nights_of_a_series_are_finished_and_then_its_report(tree, tmp_path):
    data = Path(shutil.copytree(Path(tree["dataset"]["path"]).parent, tmp_path / "data"))
    table = data / "metadata.csv"
    lines = table.read_text().splitlines(keepends=True)
    tree["dataset"]["path"] = str(table)
    tree |= {"series": {"changed": "keep"}, "methods": ["zero_shot"]}
    table.write_text("".join(lines[:7]))
    series = plan_run(load_config(tree))
    done = tend(tree["output"], idle_minutes=0)
    assert done[-1] == f"finished: the report of {series}"
    table.write_text("".join(lines))
    assert plan_run(load_config(tree)) == series
    _, second = (run.url for run in Series(series).runs())
    done = tend(tree["output"], idle_minutes=0)
    assert done == [
        f"finished: {second} (0 of 2 shards done) before",
        f"finished: the report of {series}",
    ]
    assert read_report(series, "nights")["night"].to_list() == [0, 1]
    assert tend(series, idle_minutes=0) == []


@pytest.mark.slow
def test_a_run_that_fails_for_good_is_left_alone_after_some_tries(tree):
    url = plan_run(load_config(tree, ["runtime.retries=0"]))
    other = plan_run(load_config(tree, ["name=the-other"]))
    blocked = Path(url, "attempts")
    blocked.write_text("a file where a folder should be")
    for _ in range(MOST_TRIES - 1):
        unfinished(url).take_up()
    with pytest.raises(SeraserError, match=f"failed: {url}: 3 of 3 shards failed"):
        tend(tree["output"], idle_minutes=0)
    assert is_finished(other)
    (line,) = tend(tree["output"], idle_minutes=0)
    assert line.startswith(f"left alone: {url} (0 of 3 shards done)")
    blocked.unlink()
    assert tend(tree["output"], idle_minutes=0) == [line]
    run_shard(url, "00001")  # by somebody else: it may be worth another try
    (line,) = tend(tree["output"], idle_minutes=0)
    assert line == f"finished: {url} (1 of 3 shards done) before"
    assert is_finished(url)


def test_a_folder_that_is_not_there_has_no_runs(tmp_path):
    assert tend(str(tmp_path / "none")) == []
