"""Parts of a run, each computed by a process that knows nothing of the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seraser_core.cli.main import app
from seraser_core.config import load_config
from seraser_core.errors import ConfigError
from seraser_core.results.shards import RunDirectory
from seraser_core.results.summary import is_finished
from seraser_core.results.verify import verify
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.part import Part
from seraser_core.runner.plan import plan_run

SLURM = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_COUNT": "4"}


@pytest.mark.parametrize(
    ("text", "environment", "parts", "expected"),
    [
        ("0/1", {}, None, Part(0, 1)),
        ("3/4", SLURM, None, Part(3, 4)),
        ("auto", SLURM | {"SLURM_ARRAY_TASK_STEP": "2"}, None, Part(2, 4)),
        ("auto", {**SLURM, "SLURM_ARRAY_TASK_ID": "3"}, None, Part(0, 4)),
        ("auto", {**SLURM, "SLURM_ARRAY_TASK_ID": "12"}, None, Part(1, 4)),
        ("auto", {"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, None, Part(1, 2)),
        ("auto", {"JOB_COMPLETION_INDEX": "5"}, 8, Part(5, 8)),
    ],
)
def test_which_part_it_is(text, environment, parts, expected):
    assert Part.parse(text, environment, parts) == expected


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ("4/4", {}),
        ("-1/4", {}),
        ("1", {}),
        ("1/0", {}),
        ("auto", {}),
        ("auto", {"JOB_COMPLETION_INDEX": "5"}),
    ],
)
def test_what_is_no_part(text, environment):
    with pytest.raises(ConfigError, match=r"(?s)--part: .*write I/N"):
        Part.parse(text, environment)


@pytest.fixture
def planned(tree, tmp_path):
    one = ["shard.max_items=2", "runtime.retries=0"]
    here = plan_run(load_config(tree, [*one, f"output={tmp_path / 'here'}"]))
    run_local(here)
    return here, plan_run(load_config(tree, [*one, f"output={tmp_path / 'there'}"]))


def seraser(*arguments):
    return CliRunner().invoke(app, [*arguments])


def test_parts_give_the_run_and_the_last_one_its_report(planned):
    here, url = planned
    directory = RunDirectory(url)
    directory.begin("00001", 1)  # another part is at it
    shown = seraser("work", url, "--part", "0/2")
    assert shown.exit_code == 0, shown.output
    assert "others have begun what is left" in shown.output
    assert sorted(directory.commits()) == [f"{i:05}" for i in range(7) if i != 1]
    assert not is_finished(url)
    shown = seraser("work", url, "--part", "1/2")
    assert "the run is finished" in shown.output
    assert is_finished(url)
    assert verify(url).problems == []
    for path in Path(here, "predictions").iterdir():
        assert path.read_bytes() == Path(url, "predictions", path.name).read_bytes()


def test_a_shard_that_was_begun_long_ago_is_computed_by_whoever_helps(planned):
    _, url = planned
    directory = RunDirectory(url)
    directory.begin("00001", 1)
    record = Path(directory.path("failures", "00001.json"))
    record.write_text(json.dumps(json.loads(record.read_text()) | {"time": "2024-01-01T00:00:00"}))
    assert "the run is finished" in seraser("work", url, "--part", "0/2").output
    assert is_finished(url)


def test_a_run_that_is_not_planned_is_no_work(tmp_path):
    shown = seraser("work", str(tmp_path / "run"))
    assert shown.exit_code == 2
    assert "RUN" in shown.output
    assert "plan it first" in shown.output


def test_shards_that_fail_are_told_from_a_configuration_that_cannot_be_used(planned):
    Path(planned[1], "attempts").write_text("a file where a folder should be")
    shown = seraser("work", planned[1], "--part", "0/2")
    assert shown.exit_code == 1
    assert "shards failed" in shown.output
