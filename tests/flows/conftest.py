"""A Prefect server, the deployment and a worker, all started by `seraser up`."""

from __future__ import annotations

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from http_proxy import HttpProxy
from prefect.settings import PREFECT_API_URL, temporary_settings

_START_S = 300
_COMMAND_S = 300
_SERASER = (sys.executable, "-c", "from seraser_core.cli.main import app; app()")


@dataclass
class Up:
    """A running `seraser up` and the commands that talk to it.

    Attributes:
        process: The command.
        port: Port of its server.
        environment: Of commands that are to reach it; `exports` as it printed them among it.
        exports: What it says that a shell needs.
        links: Of Prefect's pages, by what they show.
    """

    process: subprocess.Popen[str]
    port: int
    environment: dict[str, str]
    exports: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lines: queue.Queue[str] = queue.Queue()

        def read() -> None:
            for line in self.process.stdout or ():
                self._lines.put(line)
            self._lines.put("")

        threading.Thread(target=read, daemon=True).start()

    def prefect(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a `prefect` command."""
        return subprocess.run(
            [sys.executable, "-m", "prefect", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_S,
        )

    def printed(self) -> str:
        """The rest of its output, once it has ended."""
        return "".join(iter(lambda: self._lines.get(timeout=_START_S), ""))

    def wait_for_line(self, text: str) -> str:
        """Read the output until a line holds `text`; returns what was read."""
        seen = []
        while True:
            seen.append(self._lines.get(timeout=_START_S))
            if text in seen[-1]:
                return "".join(seen)
            if not seen[-1]:
                pytest.fail(f"it ended without {text!r}:\n{''.join(seen)}")

    def wait(self) -> None:
        """Wait until it is ready, and read how to reach it."""
        said = self.wait_for_line("Ctrl-C ends all of it")
        self.exports = dict(re.findall(r"^ +export (\w+)=(\S+)$", said, re.MULTILINE))
        self.links = dict(re.findall(r"^(\w+) +(http://\S+)$", said, re.MULTILINE))
        self.environment |= self.exports


@pytest.fixture(scope="session")
def company() -> Iterator[HttpProxy]:
    """A company's proxy, which knows no server: whatever comes to it is lost."""
    with HttpProxy().running() as proxy:
        yield proxy


@pytest.fixture(scope="session")
def seraser(company: HttpProxy) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a `seraser` command behind a proxy, without a Prefect server unless it is given one."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*_SERASER, *arguments],
            env=_behind(company) | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_S,
        )

    return run


@pytest.fixture(scope="session")
def start_up(company: HttpProxy) -> Iterator[Callable[..., Up]]:
    """Starts `seraser up` behind a proxy with its state in a folder; it is ready on return.

    On a free port, unless one is given; with more variables in its environment.
    """
    started: list[Up] = []

    def start(home: Path, port: int = 0, limit: int = 1, **more: str) -> Up:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = port or int(probe.getsockname()[1])
        process = subprocess.Popen(
            [*_SERASER, "up", f"--port={port}", f"--home={home}", f"--limit={limit}"],
            env=_behind(company) | {"PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2"} | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        environment = _behind(company) | {"PREFECT_HOME": str(home), "COLUMNS": "200"}
        started.append(Up(process, port, environment))
        started[-1].wait()
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGTERM)
            one.process.wait(_START_S)


@pytest.fixture(scope="session")
def up(s3: str, start_up: Callable[..., Up], tmp_path_factory: pytest.TempPathFactory) -> Up:
    """A running `seraser up`; its worker has the credentials of the tests' S3 server.

    One for all files of this folder: the last test of the last file ends it.
    """
    return start_up(tmp_path_factory.mktemp("prefect"))


@pytest.fixture
def prefect_server(up: Up) -> Iterator[None]:
    """The server of `seraser up`, for flows in this process."""
    with temporary_settings({PREFECT_API_URL: up.exports["PREFECT_API_URL"]}):
        yield


def _behind(company: HttpProxy) -> dict[str, str]:
    """The environment of a desk in a company, where nobody thought of NO_PROXY."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith("PREFECT_") and not k.lower().endswith("_proxy")
    }
    dead = "socks5://127.0.0.1:9"
    return kept | {"http_proxy": company.url, "HTTPS_PROXY": company.url, "ALL_PROXY": dead}
