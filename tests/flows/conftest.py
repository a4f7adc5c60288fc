"""A Prefect server, the deployment and a worker, all started by `seraser up`."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_START_S = 300
_COMMAND_S = 300
_SERASER = (sys.executable, "-c", "from seraser_core.cli.main import app; app()")


@dataclass
class Up:
    """A running `seraser up` and the commands that talk to it.

    Attributes:
        process: The command.
        port: Port of its server.
        environment: Of commands that are to reach it.
    """

    process: subprocess.Popen[str]
    port: int
    environment: dict[str, str]

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

    def wait_for_line(self, text: str) -> None:
        """Read the output until a line holds `text`."""
        seen = []
        while True:
            seen.append(self._lines.get(timeout=_START_S))
            if text in seen[-1]:
                return
            if not seen[-1]:
                pytest.fail(f"it ended without {text!r}:\n{''.join(seen)}")


@pytest.fixture(scope="session")
def seraser() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a `seraser` command, without a Prefect server unless it starts one."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*_SERASER, *arguments],
            env=_without_prefect(),
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_S,
        )

    return run


@pytest.fixture(scope="session")
def start_up() -> Iterator[Callable[..., Up]]:
    """Starts `seraser up` with its state in a folder; it is ready on return.

    On a free port, unless one is given.
    """
    started: list[Up] = []

    def start(home: Path, port: int = 0) -> Up:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = port or int(probe.getsockname()[1])
        process = subprocess.Popen(
            [*_SERASER, "up", "--port", str(port), "--home", str(home)],
            env=_without_prefect(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        environment = {
            **_without_prefect(),
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_HOME": str(home),
            "COLUMNS": "200",
        }
        started.append(Up(process, port, environment))
        started[-1].wait_for_line("ready.")
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGTERM)
            one.process.wait(_START_S)


@pytest.fixture(scope="session")
def up(s3: str, start_up: Callable[..., Up], tmp_path_factory: pytest.TempPathFactory) -> Up:
    """A running `seraser up`; its worker has the credentials of the tests' S3 server."""
    return start_up(tmp_path_factory.mktemp("prefect"))


def _without_prefect() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
