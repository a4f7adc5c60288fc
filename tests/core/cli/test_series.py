"""A series from the command line: nights, and commands that look at all of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from seraser_core.results.nights import read_nights


@pytest.fixture
def grow(tree, config, pictures, tmp_path):
    """Makes the configuration a series, and has its table hold so many of the pictures."""
    folder = tmp_path / "own"
    shutil.copytree(pictures.parent, folder)
    lines = pictures.read_text().splitlines()
    table = folder / "now.csv"
    tree["dataset"]["path"] = str(table)
    tree |= {"series": {}, "methods": ["zero_shot", "foreground"]}
    Path(config).write_text(yaml.safe_dump(tree))

    def grow(images: int) -> None:
        table.write_text("\n".join(lines[: images + 1]) + "\n")

    return grow


def test_nights_and_what_is_told_of_them(seraser, config, grow, tree, tmp_path):
    grow(6)
    planned = seraser("plan", config)
    (first,) = planned.stdout.splitlines()
    url = str(Path(first).parent)
    assert seraser("work", first).exit_code == 0  # as a Slurm job does
    shown = seraser("run", config, "--no-prefect")
    assert "none of the images is new" in shown.stderr
    assert f"series {url}" in shown.stdout
    assert seraser("plan", config).stdout == ""  # nothing is to be computed
    figures = tmp_path / "seraser.prom"
    seraser("run", config, "--no-prefect", "--set", f"execution.textfile={figures}")
    assert f'seraser_images{{run="{Path(first).name}",state="done"}} 6.0' in figures.read_text()
    grow(14)
    document = json.loads(seraser("run", config, "--no-prefect", "--json").stdout)
    assert document["run"] == url
    assert [row["images"] for row in document["summary"]] == [14, 14]
    assert [row["images"] for row in document["nights"]] == [6, 6, 8, 8]
    found = json.loads(seraser("status", url, "--json").stdout)
    assert [run["result"]["images"]["done"] for run in found["runs"]] == [6, 8]
    assert [run["night"] for run in found["runs"]] == [0, 1]
    assert found["result"]["images"] == {"done": 14, "total": 14}
    shown = seraser("status", url)
    assert f"{Path(url).name}: finished" in shown.stdout
    assert "8 of 8" in shown.stdout
    shown = seraser("summary", url)
    assert shown.exit_code == 0
    assert "nights" in shown.stdout.splitlines()
    listed = json.loads(seraser("runs", tree["output"], "--json").stdout)
    (series,) = listed["series"]
    assert (series["nights"], series["images"], listed["runs"]) == (2, 14, [])
    assert series["headline"]["n"] == 14
    assert "14" in seraser("runs", tree["output"]).stdout
    assert len(json.loads(seraser("runs", url, "--json").stdout)["runs"]) == 2


def test_what_is_damaged_is_found_and_repaired(seraser, config, grow):
    grow(6)
    seraser("run", config, "--no-prefect")
    grow(14)
    url = json.loads(seraser("run", config, "--no-prefect", "--json").stdout)["run"]
    assert seraser("verify", url).exit_code == 0
    second = Path(url, read_nights(url)[1].run_id)
    for folder in ("predictions", "attempts"):
        for path in (second / folder).glob("00000*"):
            path.unlink()
    table = Path(url, "report", "nights.parquet")
    table.write_bytes(table.read_bytes()[:-1] + b"!")
    found = seraser("verify", url)
    assert found.exit_code == 1
    assert f"{url}: report/nights.parquet: is not the file that report/files.json" in found.stdout
    assert f"{second}: shard 00000: " in found.stdout
    assert seraser("repair", url, "--no-prefect").exit_code == 0
    found = seraser("verify", url, "--json")
    assert found.exit_code == 0
    runs = json.loads(found.stdout)["runs"]
    assert [run["night"] for run in runs] == [0, 1, "all"]
    assert [run["result"]["rows"] for run in runs] == [12, 16, 28]
    shutil.copytree(
        second / "plan", Path(url, read_nights(url)[0].run_id, "plan"), dirs_exist_ok=True
    )
    assert seraser("verify", url).exit_code == 1


@pytest.mark.slow
def test_failed_images_of_all_nights_are_computed_again(seraser, config, grow, tmp_path):
    grow(6)
    folder = tmp_path / "own"
    away = folder / "picture 04é.png"
    away.rename(tmp_path / away.name)
    seraser("run", config, "--no-prefect")
    grow(14)
    shown = seraser("run", config, "--no-prefect")
    assert "1 image could not be used: missing 1" in shown.stdout
    assert "item-04: missing" in shown.stdout
    (tmp_path / away.name).rename(away)
    url = shown.stdout.split("series ")[-1].split()[0]
    again = json.loads(seraser("retry-errors", url, "--json").stdout)
    assert [(row["images"], row["errors"]) for row in again["summary"]] == [(14, 0), (14, 0)]


def test_commands_that_take_one_run_name_the_runs(seraser, config, grow):
    grow(6)
    (run,) = seraser("plan", config).stdout.splitlines()
    url = str(Path(run).parent)
    told = seraser("work", url)
    assert told.exit_code == 2
    assert f"is a series; name one of its runs: {Path(run).name}" in told.stderr


def test_a_series_is_not_compared(seraser, config, grow):
    told = seraser("compare", config, "--no-prefect")
    assert told.exit_code == 2
    assert "series: is of several runs" in told.stderr
