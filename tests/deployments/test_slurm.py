"""The batch script for Slurm is a sound shell script."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deployments" / "slurm" / "run.sbatch"
SHELLCHECK = str(Path(sysconfig.get_path("scripts"), "shellcheck"))


def faults(text: str) -> str:
    """Return the faults that bash and shellcheck find in a script."""
    said = ""
    for command in (["bash", "-n"], [SHELLCHECK, "--shell=bash", "-"]):
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        said += done.stdout + done.stderr
        assert bool(done.returncode) == bool(done.stdout + done.stderr)
    return said


def test_the_script_has_no_fault():
    assert faults(SCRIPT.read_text()) == ""


@pytest.mark.parametrize(
    ("text", "other", "fault"),
    [
        ('work "$RUN"', "work $RUN", "SC2086"),
        ('work "$RUN"', 'work "$RUN', "unexpected EOF"),
    ],
)
def test_a_mistake_is_found(text, other, fault):
    assert text in SCRIPT.read_text()
    assert fault in faults(SCRIPT.read_text().replace(text, other))
