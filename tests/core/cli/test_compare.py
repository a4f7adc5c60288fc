"""`seraser compare`: a grid of runs, killed and resumed, and its table."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from seraser_core.errors import SeraserError
from seraser_core.results import scan
from seraser_core.runner import missing_shards

_SERASER = (sys.executable, "-c", "from seraser_core.cli.main import app; app()")
_START_S = 120


@pytest.fixture
def grid(tree: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """Two data sets of seven images in four shards each, two models, three methods."""
    small = json.loads(Path(tree["model"]["name"]).read_text())
    small["text_cfg"]["layers"] = 1
    (tmp_path / "small.json").write_text(json.dumps(small))
    dataset, model = tree.pop("dataset"), tree.pop("model")
    methods = tree.pop("methods")
    methods[1]["steps"] = 2
    return tree | {
        "name": "study",
        "grid": {
            "datasets": {
                name: dataset | {"split": {"column": "a", "values": [place]}}
                for place, name in enumerate(["land", "water"])
            },
            "models": {"tiny": model, "small": model | {"name": "small.json"}},
            "methods": methods,
        },
        "shard": {"max_items": 2},
    }


@pytest.fixture
def study(grid: dict[str, Any], tmp_path: Path) -> str:
    """Path of the same as a YAML file."""
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(grid, sort_keys=False))
    return str(path)


def commits(output: Path) -> dict[str, tuple[int, bytes]]:
    """Path below `output` -> time and content, of all commits."""
    return {
        str(path.relative_to(output)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in output.glob("*/commits/[!.]*.json")
    }


def predictions(output: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in output.glob("*/predictions/*.parquet")
    }


@pytest.mark.slow
def test_a_killed_comparison_resumes_with_what_is_missing(seraser, study, tmp_path):
    output, undisturbed = tmp_path / "runs", tmp_path / "undisturbed"
    command = [*_SERASER, "compare", study, "--no-prefect", "--json"]
    one = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_S
        while not commits(output):
            assert one.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)  # between two looks at the commits, of which the loop waits
    finally:
        one.kill()
        one.wait()
    before = commits(output)
    assert 0 < len(before) < 4 * 4
    assert len({Path(name).parts[0] for name in before}) < 4
    assert len(list(output.glob("*/run.json"))) == 4, "all are planned before one computes"

    resumed = seraser("compare", study, "--no-prefect", "--json")
    assert resumed.exit_code == 0, resumed.output
    after = commits(output)
    assert len(after) == 4 * 4
    assert {name: after[name] for name in before} == before

    found = json.loads(resumed.stdout)
    assert [(row["dataset"], row["model"], row["method"]) for row in found["rows"]] == [
        (dataset, model, method)
        for dataset in ("land", "water")
        for model in ("tiny", "small")
        for method in ("zero_shot", "seraser", "foreground")
    ]
    table = pl.read_parquet(f"{found['comparison']}/report/comparison.parquet")
    assert table.to_dicts() == found["rows"]
    # Each number is that of the rows.
    counted = (
        scan(str(output))
        .collect()
        .group_by("run_id", "method")
        .agg(pl.len().alias("images"), pl.col("correct").mean().alias("accuracy"))
    )
    joined = table.join(counted, on=["run_id", "method"], suffix="_counted")
    assert joined.height == 12
    assert joined["images"].to_list() == joined["images_counted"].to_list() == [7] * 12
    assert joined["accuracy"].to_list() == pytest.approx(joined["accuracy_counted"].to_list())

    whole = seraser("compare", study, "--no-prefect", "--json", "--set", f"output={undisturbed}")
    assert whole.exit_code == 0, whole.output
    assert predictions(output) == predictions(undisturbed)
    assert len(predictions(output)) == 4 * 4
    expected = pl.read_parquet(next(undisturbed.glob("*/report/comparison.parquet")))
    assert table.drop("seconds_per_image").equals(expected.drop("seconds_per_image"))


@pytest.fixture
def quick(grid, tmp_path):
    """Path of a comparison of four runs of one shard each."""
    path = tmp_path / "quick.yaml"
    grid["shard"]["max_items"] = 100
    grid["grid"]["methods"] = ["zero_shot", "foreground"]
    path.write_text(yaml.safe_dump(grid, sort_keys=False))
    return str(path)


def test_finished_runs_are_only_read(seraser, quick, tmp_path):
    first = seraser("compare", quick, "--no-prefect", "--json")
    assert first.exit_code == 0, first.output
    runs = {row["run_id"] for row in json.loads(first.stdout)["rows"]}
    files = [path for run in runs for path in (tmp_path / "runs" / run).rglob("*.*")]
    times = {path: path.stat().st_mtime_ns for path in files}
    assert len(times) > 4 * 6
    # With Prefect, which is not needed: no server is started.
    again = seraser("compare", quick, "--json")
    assert again.exit_code == 0, again.output
    assert "server" not in again.stderr
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert {path: path.stat().st_mtime_ns for path in files} == times
    shown = seraser("compare", quick)
    assert "mean ranks" in shown.stdout
    assert "mcnemar p holm" in shown.stdout
    assert "errors" not in shown.stdout
    assert shown.stdout.rstrip().endswith("/report/comparison.html")


def test_a_wrong_path_in_the_last_run_is_found_before_the_first_computes(seraser, quick, tmp_path):
    done = seraser("compare", quick, "--no-prefect", "--set", "grid.models.small.name=gone.json")
    assert done.exit_code == 2
    assert "grid.models.small.name" in done.stderr
    assert done.stdout == ""
    assert commits(tmp_path / "runs") == {}
    done = seraser("compare", quick, "--no-prefect", "--set", "grid.datasets.water.path=gone.csv")
    assert "grid.datasets.water.path" in done.stderr
    assert commits(tmp_path / "runs") == {}
    assert not list(tmp_path.glob("runs/*compare*"))


def test_a_failed_run_does_not_stop_the_others(seraser, quick, tmp_path, monkeypatch):
    run_local = missing_shards.run_local

    def fail_one(run_url, *arguments, **options):
        if "study-water-tiny" in run_url:
            raise SeraserError("1 of 3 shards failed")
        run_local(run_url, *arguments, **options)

    monkeypatch.setattr(missing_shards, "run_local", fail_one)
    done = seraser("compare", quick, "--no-prefect")
    assert done.exit_code == 1
    assert "1 of 4 runs failed" in done.stderr
    assert "study-water-tiny" in done.stderr.split("1 of 4 runs failed")[1]
    assert done.stdout == ""
    assert len(commits(tmp_path / "runs")) == 3
    monkeypatch.undo()
    assert seraser("compare", quick, "--no-prefect").exit_code == 0


def test_ordinary_configurations(seraser, config, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(yaml.safe_load(Path(config).read_text()) | {"name": "other"}))
    change = ("--set", "methods=[zero_shot]")
    done = seraser("compare", config, str(other), "--no-prefect", "--json", *change)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [(row["dataset"], row["model"]) for row in found["rows"]] == [
        ("small", "tiny"),
        ("other", "tiny"),
    ]
    assert Path(found["comparison"]).name.startswith("small-compare-")
    assert seraser("compare").exit_code == 2
    again = seraser("compare", config, config, "--no-prefect")
    assert again.exit_code == 2
    assert "more than once" in again.stderr


@pytest.mark.slow
def test_under_prefect_one_server_serves_all_runs(quick, environment, tmp_path):
    done = subprocess.run(
        [*_SERASER, "compare", quick, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("starting a temporary Prefect server") == 1
    assert "Traceback" not in done.stderr
    assert len(json.loads(done.stdout)["rows"]) == 4 * 2
    assert len(commits(tmp_path / "runs")) == 4


def test_retry_errors_and_repair_of_a_comparison(seraser, quick, pictures, tmp_path):
    """An image that was away is computed in the runs that have it; a lost file where it was."""
    folder = tmp_path / "copied"
    shutil.copytree(pictures.parent, folder)
    (name,) = pl.read_csv(pictures).filter(pl.col("a") == 0)["file"].to_list()[:1]
    image = (folder / name).read_bytes()
    (folder / name).unlink()
    places = [f"grid.datasets.{one}.path={folder / pictures.name}" for one in ("land", "water")]
    change = [word for place in places for word in ("--set", place)]
    done = seraser("compare", quick, "--no-prefect", "--json", *change)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert sum(row["errors"] for row in found["rows"]) == 2 * 2  # two models, two methods
    (folder / name).write_bytes(image)
    retried = seraser("retry-errors", found["comparison"], "--code", "missing", "--json")
    assert retried.exit_code == 0, retried.output
    rows = json.loads(retried.stdout)["rows"]
    assert sum(row["errors"] for row in rows) == 0
    assert seraser("verify", found["comparison"]).stdout.count("clean") == 4
    lost = tmp_path / "runs" / rows[-1]["run_id"] / "predictions" / "00000.parquet"
    content = lost.read_bytes()
    lost.unlink()
    assert seraser("verify", found["comparison"]).exit_code == 1
    repaired = seraser("repair", found["comparison"], "--no-prefect")
    assert repaired.exit_code == 0, repaired.output
    assert repaired.stdout.count("clean") == 4
    assert pl.read_parquet(lost)["prediction"].equals(
        pl.read_parquet(io.BytesIO(content))["prediction"]
    )


def test_the_report_of_several_runs_is_their_comparison(seraser, config):
    urls = []
    for seed in (1, 2):
        changes = [f"--set=seed={seed}", "--set=methods=[zero_shot]"]
        done = seraser("run", config, "--no-prefect", "--json", *changes)
        urls.append(json.loads(done.stdout)["run"])
    done = seraser("report", *urls, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert Path(found["comparison"]).parent == Path(urls[0]).parent
    models = {row["model"] for row in found["rows"]}
    assert models == {f"tiny ({Path(url).name})" for url in urls}
    again = seraser("report", found["comparison"])
    assert again.exit_code == 0, again.output
    assert again.stderr.count("next: ") == 1
    twice = seraser("report", urls[0], urls[0])
    assert (twice.exit_code, "is there more than once" in twice.stderr) == (2, True)
