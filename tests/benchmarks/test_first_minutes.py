"""The first minutes on a GPU, tried on a CPU with a tiny model."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import first_minutes
import pytest
from first_minutes import Stage, missing_packages, run, stages

WAITS = "import threading; threading.Event().wait()"
LAST_WORD = "failed: 2 failed, 9 passed in 3.1s"
REPORT = """<testsuites><testsuite><testcase classname="tests.test_a" name="one"/>
<testcase classname="tests.test_a" name="two[cuda]">
<failure message="0.3 is too far&#10;x"/></testcase>
<testcase classname="" name="tests.test_b"><error message="collection failure"/></testcase>
</testsuite></testsuites>"""


def test_a_stage_that_takes_too_long_is_ended_and_keeps_its_figures(tmp_path):
    (tmp_path / "late.json").write_text('{"a": {"ms": 1.5}}')
    found = run(Stage("late", 60, ["-c", WAITS]), 0.1, tmp_path)
    assert found["outcome"] == "ended after 0 s"
    assert found["found"] == {"a": {"ms": 1.5}}


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("", "ok"),
        ("import nothing_of_this_name", "failed: missing nothing_of_this_name"),
        ("raise RuntimeError('CUDA error')", "failed: RuntimeError: CUDA error"),
        ("import sys; sys.exit('no device')", "failed: no device"),
        ("import sys; sys.exit('E  OSError: x\\n2 failed, 9 passed in 3.1s')", LAST_WORD),
    ],
)
def test_the_outcome_says_why(tmp_path, program, outcome):
    assert run(Stage("stage", 60, ["-c", program]), 60, tmp_path)["outcome"] == outcome


def test_tests_that_fail_are_named(tmp_path):
    (tmp_path / "tests.xml").write_text(REPORT)
    assert first_minutes.figures("tests", tmp_path) == {
        "all": {"tests": 3},
        "test_a two[cuda]": {"failure": "0.3 is too far"},
        "tests.test_b": {"error": "collection failure"},
    }


def test_rows_of_the_engine_are_figures(tmp_path):
    row = {
        "model": "a/tiny.json",
        "classes": 2,
        "batch": 4,
        "kernels": "fused",
        "precision": "bf16",
    }
    found = {"images_per_s": 3500.5, "ms_per_step": 4.7, "matrix_rate_share": 0.5, "peak_gib": 9.0}
    document = {"machine": {}, "rows": [row | found | {"warnings": ["no compiler"]}]}
    (tmp_path / "speed.json").write_text(json.dumps(document))
    figures = first_minutes.figures("speed", tmp_path)
    assert figures == {"tiny C=2 B=4 fused": found | {"warnings": ["no compiler"]}}
    shown = first_minutes.lines("speed", {"seconds": 3.0, "outcome": "ok", "found": figures})
    assert shown[0] == "speed (3 s): ok"
    assert "images_per_s 3,500, ms_per_step 4.7" in shown[1]


def test_packages_that_are_missing(monkeypatch):
    version = importlib.metadata.version

    def without_two(name):
        if name in ("open_clip_torch", "hypothesis"):
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    assert missing_packages() == []
    monkeypatch.setattr(importlib.metadata, "version", without_two)
    assert missing_packages() == ["open_clip_torch", "hypothesis"]


def first(out, *arguments, **environment):
    """The output of the command, and its summary."""
    command = [sys.executable, first_minutes.__file__, "--device", "cpu", "--small"]
    done = subprocess.run(
        [*command, "--out", str(out), *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, json.loads((out / "summary.json").read_text())


@pytest.mark.slow
def test_all_stages_run(tmp_path):
    code, printed, summary = first(tmp_path)
    names = [stage.name for stage in stages("cpu", tmp_path, True)]
    outcomes = {name: stage["outcome"] for name, stage in summary["stages"].items()}
    assert outcomes == dict.fromkeys(names, "ok") and code == 0, printed
    assert summary["device"]["missing"] == {"packages": "none"}
    found = {name: stage["found"] for name, stage in summary["stages"].items()}
    assert found["tests"]["all"]["tests"] >= 10
    assert found["files"]["bytes"] == {"files": 4, "equal": True}
    assert all(found.values())
    for stage in found.values():
        for label, figures in stage.items():
            assert label in printed and "fails" not in figures
    assert list(tmp_path.glob("profile *.txt"))


@pytest.mark.slow
def test_stages_go_on_without_what_is_missing(tmp_path):
    """As on a machine with torch and little else."""
    lacking = tmp_path / "lacking"
    lacking.mkdir()
    Path(lacking, "open_clip.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'open_clip'\", name='open_clip')"
    )
    code, _, summary = first(tmp_path, "--only", "tower", "device", PYTHONPATH=str(lacking))
    outcomes = {name: stage["outcome"] for name, stage in summary["stages"].items()}
    assert outcomes == {"device": "ok", "tower": "failed: missing open_clip"} and code == 1
