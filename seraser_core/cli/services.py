"""The processes of `seraser up`, and their clean end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import seraser_core
from seraser_core.errors import SeraserError

ROOT = Path(seraser_core.__file__).resolve().parents[1]
"""The folder that holds flows/, tasks/ and deployments/."""
WORK_POOL = "seraser"
_PREFECT_FILE = Path("deployments", "prefect.yaml")
_HOST = "127.0.0.1"
_SERVER_START_S = 180
_END_S = {"worker": 30, "server": 15}


class Stopped(Exception):  # noqa: N818 - it is a request, not an error
    """Somebody asked for the end, with SIGINT or SIGTERM."""


class Services:
    """A Prefect server, its work pool and deployment, and a worker, as children of this process.

    Use as a context manager: SIGINT and SIGTERM end the block, and leaving it ends the children,
    the worker first.

    Args:
        port: Port of the server, on loopback.
        home: Folder for Prefect's database; logs go to ``home/logs``.
    """

    def __init__(self, port: int, home: Path) -> None:
        self.port, self.home, self.logs = port, home, home / "logs"
        self.api_url = f"http://{_HOST}:{port}/api"
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stop = threading.Event()
        self._before: dict[int, signal._HANDLER] = {}

    @property
    def environment(self) -> dict[str, str]:
        """Environment of the children."""
        defaults = {"PREFECT_WORKER_QUERY_SECONDS": "2"}
        fixed = {
            "PREFECT_HOME": str(self.home),
            "PREFECT_API_URL": self.api_url,
            # A missing server is then an error, not a run that nobody executes.
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_CLI_PROMPT": "false",
            "DO_NOT_TRACK": "1",
            "SERASER_ROOT": str(ROOT),
        }
        return {**defaults, **os.environ, **fixed}

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        # Children start with the default reaction where this process has a handler, so a worker
        # heeds SIGINT even when this command was started in the background.
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._stop.set()  # from here on, signals are too late to change anything
        for name in reversed(list(self._children)):
            self._end(name)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        return kind is Stopped

    def start_server(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            SeraserError: The port is taken, or the server ended or did not answer in time.
        """
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, self.port))
            except OSError as error:
                raise SeraserError(
                    f"port {self.port} is taken ({error.strerror}); give another with --port"
                ) from None
        self._start("server", "server", "start", "--host", _HOST, "--port", str(self.port))
        deadline = time.monotonic() + _SERVER_START_S
        while not self._answers():
            self._check_children()
            if time.monotonic() > deadline:
                raise SeraserError(f"the server did not answer in {_SERVER_START_S} s")
            self._pause(0.5)

    def deploy(self, limit: int) -> None:
        """Make the work pool with its limit, and the deployments of deployments/prefect.yaml.

        Raises:
            SeraserError: One of Prefect's commands failed.
        """
        with contextlib.suppress(SeraserError):  # it fails when the pool is there already
            self._prefect("work-pool", "create", WORK_POOL, "--type", "process")
        self._prefect("work-pool", "set-concurrency-limit", WORK_POOL, str(limit))
        self._prefect("deploy", "--all", "--prefect-file", str(_PREFECT_FILE))

    def start_worker(self) -> None:
        """Start a worker of the pool."""
        options = ("--pool", WORK_POOL, "--type", "process", "--install-policy", "never")
        self._start("worker", "worker", "start", *options)

    def wait(self) -> None:
        """Wait until somebody asks for the end.

        Raises:
            SeraserError: A child ended by itself.
        """
        while True:
            self._check_children()
            self._pause(1)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._stop.is_set():  # a second Ctrl-C must not disturb the end of the first
            self._stop.set()
            raise Stopped

    def _pause(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def _prefect(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        done = subprocess.run(  # noqa: S603
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        with (self.logs / "deploy.log").open("a") as log:
            log.write(f"$ prefect {' '.join(arguments)}\n{done.stdout}{done.stderr}\n")
        if done.returncode:
            tail = (done.stdout + done.stderr).strip()[-2000:]
            raise SeraserError(f"`prefect {' '.join(arguments)}` failed:\n{tail}")

    def _start(self, name: str, *arguments: str) -> None:
        with (self.logs / f"{name}.log").open("wb") as log:
            self._children[name] = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "prefect", *arguments],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this process only, which ends them in turn
            )

    def _check_children(self) -> None:
        for name, child in self._children.items():
            if child.poll() is not None:
                log = self.logs / f"{name}.log"
                tail = log.read_text(errors="replace").strip()[-2000:]
                raise SeraserError(f"the {name} ended with {child.returncode}; {log}:\n{tail}")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.api_url}/health", timeout=5) as reply:  # noqa: S310
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _end(self, name: str) -> None:
        child = self._children[name]
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_END_S[name])
        with contextlib.suppress(ProcessLookupError):  # also what the child itself left behind
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
