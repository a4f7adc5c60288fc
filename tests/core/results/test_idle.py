"""Runs that nobody finishes, as their files tell."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from seraser_core.config import load_config
from seraser_core.errors import RunDirectoryError
from seraser_core.results import records
from seraser_core.results.idle import MOST_TRIES, forget_tries, run_directories, unfinished
from seraser_core.results.shards import RunDirectory
from seraser_core.results.summary import aggregate
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run
from seraser_core.runner.shard import run_shard


@pytest.fixture
def half(tree) -> RunDirectory:
    """A run of three shards, of which one is done."""
    url = plan_run(load_config(tree))
    run_shard(url, "00000")
    return RunDirectory(url)


def change(directory: RunDirectory, file: str, **fields) -> None:
    """Change fields of a record, and seal it again."""
    path = Path(directory.path(file))
    document = json.loads(path.read_text()) | fields
    path.write_bytes(records.encode(records.seal(document) if "seal" in document else document))


def test_runs_are_found_beside_other_folders(half, tree):
    output = Path(tree["output"])
    for name in ("comparison-1", "a"):
        (output / name / "report").mkdir(parents=True)
    assert list(run_directories(str(output))) == [half.url]
    assert list(run_directories(str(output / "none"))) == []


def test_a_finished_run_is_not_unfinished(finished_once):
    assert unfinished(str(finished_once)) is None


def test_a_run_without_its_report_or_with_a_partial_one_is_unfinished(finished_once, half, tree):
    copy = shutil.copytree(finished_once, Path(tree["output"], "copy"), copy_function=shutil.copy)
    (copy / "report" / "summary.parquet").unlink()
    assert unfinished(str(copy)).done == 3
    aggregate(half.url, partial=True)
    run_local(half.url)
    assert unfinished(half.url).done == 3
    aggregate(half.url)
    assert unfinished(half.url) is None


@pytest.mark.parametrize("sign", ["planned", "committed", "begun", "failed"])
def test_a_sign_of_work(half, sign):
    def ago(hours: float) -> datetime:
        return datetime.now(UTC) - timedelta(hours=hours)

    half.begin("00001", 1)
    half.fail("00002", OSError("it is gone"), 1)
    for name, hours in (("planned", 300), ("committed", 200), ("begun", 400), ("failed", 500)):
        moment = ago(2 if name == sign else hours)
        match name:
            case "planned":
                change(half, "run.json", created=moment.isoformat())
            case "committed":
                change(half, "commits/00000.0.json", finished=moment.timestamp())
            case "begun" | "failed":
                shard = "00001" if name == "begun" else "00002"
                change(half, f"failures/{shard}.json", time=moment.isoformat())
    assert unfinished(half.url).idle_minutes == pytest.approx(120, abs=5)


def test_tries_count_until_somebody_commits_a_shard(half):
    for number in range(MOST_TRIES):
        run = unfinished(half.url)
        assert (run.tries, run.is_given_up) == (number, False)
        run.take_up()
    assert unfinished(half.url).is_given_up
    run_shard(half.url, "00001")
    again = unfinished(half.url)
    assert (again.done, again.tries, again.is_given_up) == (2, 0, False)
    again.take_up()
    forget_tries(half)
    assert unfinished(half.url).tries == 0
    forget_tries(half)  # nothing happens


def test_a_damaged_record_of_tries_is_named(half):
    Path(half.path("tended.json")).write_text("{")
    with pytest.raises(RunDirectoryError, match=r"tended\.json"):
        unfinished(half.url)
