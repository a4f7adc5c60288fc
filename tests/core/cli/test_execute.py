"""Runs under Prefect from the command line: the temporary server, and servers that are gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from listeners import check_loopback, listening

from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import failures_of

_START_S = 300
_SERASER = "from seraser_core.cli.main import app; app()"
_SLOW = """
import pathlib, sys, time
from seraser_core.cli.progress import RunDisplay

MARK = pathlib.Path(sys.argv.pop())

advance = RunDisplay.advance
def wait_then_advance(self, images):
    MARK.touch()
    time.sleep(2)  # no wait for anything: it keeps the run going until the signal comes
    advance(self, images)
RunDisplay.advance = wait_then_advance

from seraser_core.cli.main import app
app()
"""


@pytest.mark.slow
def test_ctrl_c_ends_a_run_and_its_temporary_server(config, environment, unused_port, tmp_path):
    """Behind a proxy that is gone, which nothing here needs."""
    dead = f"127.0.0.1:{unused_port}"
    environment |= {"HTTP_PROXY": f"http://{dead}", "all_proxy": f"socks5://{dead}"}
    mark = tmp_path / "computing"
    one = subprocess.Popen(
        [sys.executable, "-c", _SLOW, "run", config, str(mark)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + _START_S
        while not mark.exists():
            assert one.poll() is None, one.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.1)  # between two looks at the mark, of which the loop waits
        children = psutil.Process(one.pid).children(recursive=True)
        assert children
        check_loopback(listening(one.pid))  # of the temporary server
        os.killpg(one.pid, signal.SIGINT)
        printed, said = one.communicate(timeout=60)
    finally:
        if one.poll() is None:
            os.killpg(one.pid, signal.SIGTERM)
            one.communicate(timeout=60)
    assert one.returncode == 128 + signal.SIGINT, said
    assert "starting a temporary Prefect server" in said
    assert said.rstrip().endswith("interrupted; the same command computes what is missing")
    assert "Traceback" not in said
    assert printed == ""
    assert psutil.wait_procs(children, timeout=10)[1] == []
    (url,) = (tmp_path / "runs").iterdir()
    assert failures_of(RunDirectory(str(url)).states()) == {}


_SERVING = """
import sys, time
from seraser_core.cli.server import temporary_server

with temporary_server() as ready:
    if "ready" in sys.argv:
        ready()
    print("started", flush=True)
    time.sleep(1000)  # until it is killed
"""


@pytest.mark.parametrize("when", ["early", pytest.param("ready", marks=pytest.mark.slow)])
def test_a_temporary_server_ends_when_its_command_is_killed(environment, when):
    command = [sys.executable, "-c", _SERVING, when]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout.readline() == "started\n"
        children = psutil.Process(one.pid).children(recursive=True)
        one.kill()
    assert children
    assert psutil.wait_procs(children, timeout=30)[1] == []


def test_a_server_that_is_gone_is_named(config, environment, unused_port, tmp_path):
    url = f"http://127.0.0.1:{unused_port}/api"
    done = subprocess.run(
        [sys.executable, "-c", _SERASER, "run", config],
        env=environment | {"PREFECT_API_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith(  # after what is found in the data set
        f"failed no Prefect server answers at {url}\nhint: start it (seraser up), unset "
        "PREFECT_API_URL, or use --no-prefect"
    )
    assert not list(tmp_path.glob("runs/*"))
