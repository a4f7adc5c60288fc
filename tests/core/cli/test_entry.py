"""The end of a command: everything is called and written, and nothing is taken down."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_COMMAND = """
import atexit, sys, threading, types

class Kept:
    def __del__(self):
        print("taken down")

def command():
    atexit.register(print, "called")
    threading.Thread(target=lambda: (threading.main_thread().join(), print("joined"))).start()
    print("x" * 5_000)
    {end}

kept = Kept()
{before}
sys.modules["seraser_core.cli.main"] = types.SimpleNamespace(app=command)
from seraser_core.cli.entry import main
main()
"""
BUFFERED = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
DONE = ["x" * 5_000, "called", "joined"]


def run(end, before=""):
    """Run a command that ends so; return its exit code, the lines that it printed, and errors."""
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND.format(end=end, before=before)],
        env=BUFFERED,
        capture_output=True,
        text=True,
    )
    return done.returncode, sorted(done.stdout.splitlines()), done.stderr


@pytest.mark.parametrize("code", [0, 2, 130])
def test_all_is_called_and_written_and_nothing_taken_down(code):
    assert run(f"sys.exit({code})") == (code, sorted(DONE), "")


def test_functions_that_were_registered_before_are_called():
    code, lines, _ = run("sys.exit(3)", "atexit.register(print, 'before')")
    assert (code, lines) == (3, sorted([*DONE, "before", "taken down"]))


@pytest.mark.parametrize(
    ("end", "told"), [("raise KeyError('odd')", "KeyError: 'odd'"), ("sys.exit('odd')", "odd")]
)
def test_other_ends_are_left_to_python(end, told):
    code, lines, errors = run(end)
    assert (code, lines) == (1, sorted([*DONE, "taken down"]))
    assert errors.endswith(f"{told}\n")


def test_what_cannot_be_written_is_no_success():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", _COMMAND.format(end="sys.exit(0)", before="")],
            env=BUFFERED,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 120
    assert "No space left" in done.stderr
