"""The command line: what it prints, where, and how it exits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from seraser_core.results.shards import RunDirectory
from seraser_core.results.verify import verify


def test_plan_prints_the_run_directory_and_computes_nothing(seraser, config, tmp_path):
    done = seraser("plan", config)
    assert done.exit_code == 0
    url = done.stdout.strip()
    assert RunDirectory(url).commits() == {}
    again = json.loads(seraser("plan", config, "--json").stdout)
    assert len(again.pop("examples")) == 3 + 6
    assert again == {
        "run": url,
        "run_id": url.rsplit("/", 1)[1],
        "images": 14,
        "shards": 3,
        "done": 0,
    }
    assert "random weights" in done.stderr.lower()


def test_run_status_verify_summary(seraser, config, finished):
    status = seraser("status", finished, "--json")
    assert status.exit_code == 0
    assert json.loads(status.stdout)["images"] == {"done": 14, "total": 14}
    assert json.loads(status.stdout)["finished"] is True
    assert "bound by" in seraser("status", finished).stdout
    checked = seraser("verify", finished)
    assert checked.exit_code == 0
    assert checked.stdout == "clean: 3 of 3 shards done, 42 rows\n"
    summary = json.loads(seraser("summary", finished, "--json").stdout)
    assert [row["method"] for row in summary["summary"]] == ["zero_shot", "seraser", "foreground"]
    assert len(summary["groups"]) == 3 * 6
    shown = seraser("summary", finished).stdout
    assert "worst group" in shown
    assert "a red-billed oxpecker / water" in shown
    assert seraser("report", finished).stdout == shown
    again = seraser("run", config, "--no-prefect")
    assert again.exit_code == 0
    assert "14 of 14 images are done already" in again.stderr


def test_set_changes_options(seraser, config, finished):
    done = seraser(
        "run", config, "--no-prefect", "--json", "--set", "methods.1.steps=2", "--set", "name=two"
    )
    assert done.exit_code == 0, done.output
    url = json.loads(done.stdout)["run"]
    assert url.rsplit("/", 1)[1].startswith("two-")
    rows = pl.read_parquet(f"{url}/predictions/*.parquet")
    assert set(rows.filter(pl.col("method") == "seraser")["steps"]) == {2}


@pytest.mark.parametrize(
    ("change", "field", "near"),
    [
        ("methods.1.stesp=2", "methods.1.stesp", "steps"),
        ("shards.max_items=2", "shards", "shard"),
        ("model.pretraned=x", "model.pretraned", "pretrained"),
        ("shard.max_items=none", "shard.max_items", "none"),
        ("methods.1.lr=-1", "methods.1.lr", "-1"),
        ("nonsense", "--set", "name.of.option=value"),
        ("model.name=ViT-B-33", "model.name", "ViT-B-32"),
        ("dataset.path=gone.csv", "dataset.path", "gone.csv"),
    ],
)
@pytest.mark.parametrize("command", [["plan"], ["run", "--no-prefect"]], ids=" ".join)
def test_a_bad_option_is_named_and_exits_with_2(
    seraser, config, tmp_path, change, field, near, command
):
    done = seraser(*command, config, "--set", change)
    assert done.exit_code == 2, done.output
    assert field in done.stderr
    assert near in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize("command", ["status", "verify", "summary"])
@pytest.mark.parametrize("run", ["nowhere", "s3://"])
def test_no_run_directory(seraser, tmp_path, command, run, s3):
    done = seraser(command, str(tmp_path / run) if run == "nowhere" else run)
    assert done.exit_code == 1
    assert done.stderr.startswith("failed ")
    assert "Traceback" not in done.stderr


def test_problems_exit_with_1(seraser, finished):
    Path(finished, "predictions", "00001.parquet").unlink()
    done = seraser("verify", finished, "--json")
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    missing = {"file": "predictions/00001.parquet", "shard": "00001", "what": "is missing"}
    assert report["problems"] == [missing]
    Path(finished, "commits", "00001.0.json").unlink()
    RunDirectory(finished).fail("00001", OSError("no disk"), 4)
    assert seraser("status", finished).exit_code == 1
    done = seraser("summary", finished)
    assert done.exit_code == 1
    assert "1 of 3 shards are missing" in done.stderr
    assert seraser("summary", finished, "--partial").exit_code == 0


def test_no_arguments_and_unknown_commands(seraser):
    assert "Exit codes" in seraser().output
    assert seraser("rum").exit_code == 2
    assert seraser("plan").exit_code == 2


_INTERRUPTED = """
import os, signal, sys
from seraser_core.cli.progress import RunDisplay

numbers = [getattr(signal, sys.argv.pop())]

advance = RunDisplay.advance
def interrupt_then_advance(self, images):
    if numbers:
        os.kill(os.getpid(), numbers.pop())
    advance(self, images)
RunDisplay.advance = interrupt_then_advance

from seraser_core.cli.main import app
app()
"""


@pytest.mark.parametrize("name", ["SIGINT", pytest.param("SIGTERM", marks=pytest.mark.slow)])
def test_an_interrupted_run_says_so_and_resumes(seraser, config, name):
    url = seraser("plan", config).stdout.strip()
    command = [sys.executable, "-c", _INTERRUPTED, "run", config, "--no-prefect", name]
    done = subprocess.run(
        command,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 128 + getattr(signal, name), done.stderr
    assert "interrupted; the same command computes what is missing" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(RunDirectory(url).commits()) < 3
    assert seraser("run", config, "--no-prefect").exit_code == 0
    assert verify(url).problems == []
