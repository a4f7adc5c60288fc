"""`seraser status --watch` and the file for Prometheus."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from seraser_core.cli.watch import picture
from seraser_core.config import load_config
from seraser_core.results.watched import WatchedRun
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run

_SERASER = (sys.executable, "-c", "from seraser_core.cli.main import app; app()")


@pytest.fixture
def begun(tree):
    """URL of a run, of whose three shards one is done."""
    from seraser_core.runner.shard import run_shard

    url = plan_run(load_config(tree))
    run_shard(url, "00000")
    return url


@pytest.fixture
def watch(begun):
    """A command that watches it, after its first line."""
    command = [*_SERASER, "status", begun, "--watch", "1"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        first = process.stdout.readline()
        assert "5 of 14 images (35.7 %), about " in first
        yield process
        process.kill()


def test_a_watch_ends_with_its_run(begun, watch):
    run_local(begun)
    rest = watch.communicate(timeout=60)[0].splitlines()
    assert rest[-1].endswith(" 14 of 14 images (100.0 %)")
    assert watch.returncode == 0


def test_a_watch_ends_when_a_person_ends_it(watch):
    watch.send_signal(signal.SIGINT)
    assert watch.communicate(timeout=60) == ("", "")
    assert watch.returncode == 0


def test_a_watch_for_scripts(seraser, finished):
    done = seraser("status", finished, "--watch", "1", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["images"] == {"done": 14, "total": 14}


@pytest.mark.parametrize("format_", [[], ["--json"]], ids=["lines", "json"])
def test_a_watch_ends_quietly_when_nobody_reads_it(begun, format_):
    command = [*_SERASER, "status", begun, "--watch", "1", *format_]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == ("", 1)


def test_the_picture_shows_progress_figures_and_workers(finished):
    run = WatchedRun(finished)
    run.fail("00001", OSError("away\x1b"), 2)
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(picture(run.look()))
    text = console.export_text()
    assert "14 of 14 images (100.0 %)\n" in text
    rows = [line.split()[:2] for line in text.splitlines()]
    assert [row for row in rows if row[:1] == ["seraser"]] == [["seraser", "14"]]
    (commit, *_) = run.commits().values()
    assert [commit.host, commit.process.split()[0]] in rows


def test_status_names_who_computed(seraser, finished):
    (commit, *_) = WatchedRun(finished).commits().values()
    (worker,) = json.loads(seraser("status", finished, "--json").stdout)["workers"]
    assert (worker["process"], worker["shards"], worker["images"]) == (commit.process, 3, 14)
    assert "workers" in seraser("status", finished).stdout


def test_a_comparison_cannot_be_watched(seraser, finished):
    folder = Path(finished).parent / "many"
    folder.mkdir()
    runs = [{"dataset": "a", "model": "b", "run_id": Path(finished).name, "run": finished}]
    (folder / "comparison.json").write_text(json.dumps({"name": "many", "runs": runs}))
    done = seraser("status", str(folder), "--watch", "1")
    assert (done.exit_code, "watch one of them" in done.stderr) == (2, True)


def test_a_run_keeps_its_figures_for_prometheus(seraser, config, tmp_path):
    path = tmp_path / "seraser.prom"
    asked = "run", config, "--no-prefect", "--json", "--set", f"execution.textfile={path}"
    done = seraser(*asked)
    assert done.exit_code == 0, done.stderr
    name = Path(json.loads(done.stdout)["run"]).name
    assert f'seraser_images{{run="{name}",state="done"}} 14.0' in path.read_text()
    kept = json.loads(Path(json.loads(done.stdout)["run"], "run.json").read_text())
    assert "execution" not in kept["config"]
    written = path.read_text()
    path.unlink()
    assert seraser(*asked).exit_code == 0
    assert path.read_text() == written  # nothing was computed


def test_a_part_keeps_them_too(seraser, begun, tmp_path):
    path = tmp_path / "seraser.prom"
    done = seraser("work", begun, "--set", f"execution.textfile={path}")
    assert done.exit_code == 0, done.stderr
    assert 'state="done"} 14.0' in path.read_text()


def test_a_file_without_a_folder_is_refused_at_once(seraser, config, tmp_path):
    path = tmp_path / "away" / "seraser.prom"
    done = seraser("run", config, "--no-prefect", "--set", f"execution.textfile={path}")
    assert done.exit_code == 2
    assert "execution.textfile" in done.stderr
    assert "its folder is not there" in done.stderr
    assert not Path(tmp_path, "runs").exists()
