"""Help, examples, version and completion."""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import subprocess
import sys

import pytest
import typer

from seraser_core.cli.commands import COMMANDS
from seraser_core.cli.main import app

_SERASER = "from seraser_core.cli.main import app; app(prog_name='seraser')"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_examples_that_parse(command, seraser):
    helped = seraser(command.name, "--help").stdout
    shown = [line.strip() for line in helped.splitlines()]
    assert command.examples
    for line in command.examples:
        assert line in shown
        program, name, *arguments = shlex.split(line)
        assert (program, name) == ("seraser", command.name)
        typer.main.get_command(app).commands[name].make_context(name, arguments)  # or it raises


def test_the_help_names_every_command_under_its_task(seraser):
    lines = seraser("--help").stdout.splitlines()
    task, found = "", {}
    for line in lines:
        if line.startswith("╭─"):
            task = line.strip("╭╮─ ")
        elif line.startswith("│ ") and not line.startswith(("│  ", "│ -")):
            found[line.split()[1]] = task
    assert found == {command.name: command.task for command in COMMANDS}


def test_the_version(seraser):
    done = seraser("--version")
    assert (done.exit_code, done.stdout) == (
        0,
        f"seraser {importlib.metadata.version('seraser')}\n",
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("seraser retr", ["retry-errors"]),
        ("seraser methods sera", ["seraser", "seraser_task"]),
        ("seraser check waterb", ["waterbirds"]),
    ],
)
def test_names_are_completed(line, expected):
    words = line.split()
    asked = {
        "_SERASER_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", _SERASER],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == expected, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rum"], ["No such command 'rum'.", "hint: did you mean 'run'?"]),
        (
            ["run", "x", "--no-prefekt"],
            ["No such option: --no-prefekt", "did you mean --no-prefect?"],
        ),
        (
            ["--verboze", "run"],
            ["No such option: --verboze", "hint: did you mean --verbose", "`seraser --help`"],
        ),
        (["-x"], ["No such option: -x"]),
        (["plan"], ["Missing argument 'CONFIG'."]),
        (["status", "x", "--watch", "often"], ["Invalid value for '--watch'"]),
        (["methods", "serazer"], ["hint: did you mean `seraser`?"]),
        (["datasets", "waterbrids"], ["hint: did you mean 'waterbirds'?"]),
    ],
)
def test_a_wrong_command_line_is_told_with_near_names(seraser, words, said):
    done = seraser(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    for text in said:
        assert text in done.stderr
    assert "│" not in done.stderr
