"""What the commands say of a finished run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from seraser_core.cli.status_lines import first_unusable, unusable


@pytest.fixture
def broken(seraser, config, pictures, tmp_path):
    """Url of a finished run with three pictures that cannot be used."""
    folder = tmp_path / "broken"
    shutil.copytree(pictures.parent, folder)
    names = pl.read_csv(pictures)["file"].to_list()
    for name in names[:2]:
        (folder / name).unlink()
    (folder / names[2]).write_bytes(b"no picture")
    done = seraser(
        "run", config, "--no-prefect", "--json", "--set", f"dataset.path={folder / pictures.name}"
    )
    assert done.exit_code == 0
    assert done.stderr.count(SAID) == 1
    return json.loads(done.stdout)["run"]


SAID = "3 images could not be used: missing 2, undecodable 1\n"


def test_error_rows_are_counted_beside_the_results(seraser, broken):
    shown = seraser("report", broken)
    assert shown.exit_code == 0
    assert SAID in shown.stdout
    assert "errors" in shown.stdout
    assert "more: the rows" not in shown.stdout
    machine = seraser("report", broken, "--json")
    assert SAID in machine.stderr
    assert json.loads(machine.stdout)["summary"][0]["errors"] == 3


def test_the_first_unusable_images_are_named_and_the_others_counted():
    found = {
        "errors": {"zero_shot": {"missing": 6, "truncated": 1}, "seraser": {"missing": 6}},
        "first_errors": ["a.png: missing: away"] * 5,
    }
    assert unusable(found) == "missing 6, truncated 1"
    assert list(first_unusable(found))[-1] == '  and 2 more: the rows with status = "error"'


def test_a_run_directory_is_no_configuration(seraser, finished, tmp_path):
    told = seraser("run", finished)
    assert (told.exit_code, "is a run directory" in told.stderr) == (2, True)
    told = seraser("plan", str(tmp_path))
    assert (told.exit_code, "is a folder; give the YAML" in told.stderr) == (2, True)


def test_retrying_no_error_shows_the_run_as_json(seraser, finished):
    assert "no image failed" in seraser("retry-errors", finished).output
    found = json.loads(seraser("retry-errors", finished, "--json").stdout)
    assert found["run"] == finished
    assert found["summary"]


def test_a_run_without_errors_says_nothing_of_them(seraser, finished):
    shown = seraser("report", finished).output
    assert "could not be used" not in shown
    assert "errors" not in shown.replace(finished, "RUN")


def test_one_of_something_is_singular(seraser, config):
    done = seraser("run", config, "--no-prefect", "--json", "--set", "shard.max_items=100")
    url = json.loads(done.stdout)["run"]
    assert seraser("verify", url).stdout == "clean: 1 of 1 shard done, 42 rows\n"


def test_the_report_names_the_whole_path_of_its_run(seraser, finished, monkeypatch):
    run = Path(finished)
    monkeypatch.chdir(run.parent)
    shutil.rmtree(run / "report")  # it is written anew
    done = seraser("report", run.name, "--json")
    assert json.loads(done.stdout)["run"] == finished
    assert f"{finished}/predictions/*.parquet" in (run / "report" / "report.html").read_text()
    assert seraser("status", "~nobody-here/run").exit_code == 2
