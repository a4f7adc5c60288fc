"""Ctrl-C: answered at once, wherever a command is; the second one ends it now."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from seraser_core.config import load_config
from seraser_core.results.shards import RunDirectory
from seraser_core.results.verify import verify
from seraser_core.runner.plan import plan_run

_BEGIN = """
import hashlib, subprocess, sys, threading

def reached():
    print("reached", file=sys.stderr, flush=True)

def wait(*_, **__):
    reached()
    while True:  # Python does not see a signal that comes just before a wait until that is over
        threading.Event().wait(0.1)

def wait_in_c(*_, **__):
    reached()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # no Python runs in this thread meanwhile
"""
_END = """
from seraser_core.cli.main import app
app()
"""
_PLANNING = "from seraser_core.runner import plan; plan.plan_items = {wait}"
_COMPUTING = """
from seraser_core.cli.progress import RunDisplay

def advance(self, images):
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    wait()
RunDisplay.advance = advance
"""
_WORKING = """
from seraser_core.cli.progress import RunDisplay

advance = RunDisplay.advance

def advance_late(self, images):
    reached()
    self._stopped.wait()
    advance(self, images)
RunDisplay.advance = advance_late
"""
_SERVER = """
import pathlib
from seraser_core.cli import execute, server
from seraser_core.runner import plan

plan.complete = lambda *_: "nowhere"

def answers(url):
    reached()
    return False
server.answers = answers
"""
_VERIFYING = "from seraser_core.results import verify; verify.verify = wait"


@contextmanager
def started(environment: dict[str, str], change: str, *arguments: str) -> Iterator[psutil.Popen]:
    """The command with a change of what it does, once it has got there; in a group of its own."""
    program = _BEGIN + change + _END
    process = psutil.Popen(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said(process, "reached")
        yield process
    finally:
        for one in (process, *process.children(recursive=True)) if process.is_running() else ():
            one.kill()
        process.communicate()


def said(process: psutil.Popen, text: str) -> str:
    """Reads what the command says until a line holds `text`; returns all of it."""
    lines = ""
    while text not in lines:
        line = process.stderr.readline()
        assert line, lines
        lines += line
    return lines


@pytest.mark.parametrize("wait", ["wait", "wait_in_c"])
def test_while_planning(config, environment, wait):
    change = _PLANNING.format(wait=wait)
    with started(environment, change, "plan", config) as process:
        os.killpg(process.pid, signal.SIGINT)
        said(process, "ending; again to end now")
        if wait == "wait_in_c":
            os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 128 + signal.SIGINT
        assert process.stderr.read() == "interrupted; the same command computes what is missing\n"


def test_a_second_one_ends_a_batch_that_does_not_end(seraser, config, environment):
    with started(environment, _COMPUTING, "run", config, "--no-prefect") as process:
        children = process.children(recursive=True)
        assert [child.name() for child in children] == ["sleep"]
        os.killpg(process.pid, signal.SIGINT)
        said(process, "ending after this batch; again to end now")
        assert process.is_running()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 128 + signal.SIGINT
        assert process.stderr.read().endswith("the same command computes what is missing\n")
        assert psutil.wait_procs(children, timeout=10)[1] == []
    done = seraser("run", config, "--no-prefect")
    assert done.exit_code == 0
    url = next(line for line in done.stderr.splitlines() if "run directory" in line).split()[-1]
    assert verify(url).problems == []
    assert len(RunDirectory(url).commits()) == 3


@pytest.mark.parametrize(
    "part",
    [
        pytest.param("0/1", id="its-own-shards"),
        pytest.param("9/10", id="those-of-others", marks=pytest.mark.slow),
    ],
)
def test_a_part_ends_at_the_end_of_a_batch_when_its_job_does(tree, environment, part):
    """As Slurm and Kubernetes ask it to, and as their manifests expect."""
    url = plan_run(load_config(tree))
    with started(environment, _WORKING, "work", url, "--part", part) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
        assert process.stderr.read().endswith("the same command computes what is missing\n")
    directory = RunDirectory(url)
    assert directory.commits() == {}
    assert list(directory.files("failures")) == []  # nothing is suspected of having killed it


@pytest.mark.slow
def test_while_the_server_starts(config, environment):
    with started(environment, _SERVER, "run", config) as process:
        children = process.children(recursive=True)
        assert children
        os.killpg(process.pid, signal.SIGINT)
        said(process, "ending; again to end now")
        assert process.wait(60) == 128 + signal.SIGINT
        assert "Traceback" not in process.stderr.read()
        assert psutil.wait_procs(children, timeout=10)[1] == []


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_commands_that_only_read(environment, name):
    with started(environment, _VERIFYING, "verify", "anywhere") as process:
        number = getattr(signal, name)
        process.send_signal(number)
        assert process.wait(60) == 128 + number
        assert process.stderr.read() == "ending; again to end now\ninterrupted\n"


_IMPORTING = """
class Typer:
    def find_spec(self, name, *_):
        if name == "typer":
            wait()

sys.meta_path.insert(0, Typer())
from seraser_core.cli.entry import main
main()
"""


def test_a_command_that_is_being_imported_ends_quietly(environment):
    with started(environment, _IMPORTING, "--help") as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")


def test_the_entry_point_runs_the_command(environment):
    program = "from seraser_core.cli.entry import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "retry-errors" in done.stdout
