"""The processes of `seraser up`, and their clean shutdown."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, TYPE_CHECKING, Self

from seraser_core.cli.children import ROOT, Children, ending_signals
from seraser_core.cli.server import api_url, start_server, wait_for_server
from seraser_core.errors import SeraserError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from seraser_core.cli.abandoned import Abandoned

WORK_POOL = "seraser"
DEPLOYMENT = "seraser/batch-eval"
_WORKER = "seraser-up"
_PREFECT_FILE = Path("deployments", "prefect.yaml")
_END_S = {"worker": 30, "server": 15}


class Stopped(BaseException):
    """SIGINT, SIGTERM or SIGHUP asked this process to end."""


class Services:
    """A Prefect server, its work pool and deployment, and a worker, as children of this process.

    Use as a context manager: SIGINT, SIGTERM and SIGHUP end the block, and leaving it ends the
    children, the worker first.

    Args:
        port: Port of the server, on loopback.
        home: Folder for Prefect's database; logs go to ``home/logs``.

    Raises:
        SeraserError: On entering: another process uses `home`.
    """

    def __init__(self, port: int, home: Path) -> None:
        self.port, self.home, self.logs = port, home, home / "logs"
        self.api_url = api_url(port)
        self._children = Children(self.environment, self.logs)
        self._stop = threading.Event()
        self._before: dict[int, signal._HANDLER] = {}

    @property
    def environment(self) -> dict[str, str]:
        """Environment of the children."""
        defaults = {"PREFECT_WORKER_QUERY_SECONDS": "1"}
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
        self._lock = self._take(self.home / "lock")
        # Children start with the default reaction where this process has a handler, so a worker
        # heeds SIGINT even when this command was started in the background.
        for number in ending_signals():
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        # The interrupted code may have turned it into another error.
        stopped = self._stop.is_set()
        self._stop.set()  # from here on, signals are too late to change anything
        self._children.end()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._lock.close()
        return stopped

    def _take(self, path: Path) -> IO[str]:
        """The lock file of the home, which the system frees when this process ends."""
        lock = path.open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise SeraserError(
                f"another `seraser up` uses {self.home}",
                "end it, or give another --home and --port",
            ) from None
        return lock

    def start_server(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            SeraserError: The port is taken, or the server ended or did not answer in time.
        """
        start_server(self._children, self.port, _END_S["server"])
        wait_for_server(self._children, self.port, self._pause)

    def deploy(self, limit: int) -> None:
        """Make the work pool with its limit, and the deployments of deployments/prefect.yaml.

        Raises:
            SeraserError: One of Prefect's commands failed.
        """
        fault = None
        try:
            self._children.run("work-pool", "create", WORK_POOL, "--type", "process")
        except SeraserError as error:  # also when the pool is there already
            fault = error
        if not self._limit(limit):
            raise fault or SeraserError(f"there is no work pool {WORK_POOL}")
        self._children.run("deploy", "--all", "--prefect-file", str(_PREFECT_FILE))

    def _limit(self, limit: int) -> bool:
        """Let the work pool run so many flow runs at once; False where there is no such pool.

        In this process: a command of Prefect takes seconds.
        """
        from prefect.client.schemas.actions import WorkPoolUpdate
        from prefect.exceptions import ObjectNotFound

        with self._client() as client:
            try:
                client.update_work_pool(WORK_POOL, WorkPoolUpdate(concurrency_limit=limit))
            except ObjectNotFound:
                return False
        return True

    @contextlib.contextmanager
    def _client(self) -> Iterator[SyncPrefectClient]:
        """A client of the server, in this process."""
        from prefect.client.orchestration import get_client  # takes seconds
        from prefect.settings import PREFECT_API_URL, temporary_settings

        with (
            temporary_settings({PREFECT_API_URL: self.api_url}),
            get_client(sync_client=True) as client,
        ):
            yield client

    def pages(self) -> dict[str, str]:
        """Links of Prefect's pages: the runs, what they published, and the deployment."""
        with self._client() as client:
            deployment = client.read_deployment_by_name(DEPLOYMENT)
        root = self.api_url.removesuffix("/api")
        return {
            "runs": f"{root}/runs",
            "artifacts": f"{root}/artifacts",
            "deployment": f"{root}/deployments/deployment/{deployment.id}",
        }

    def abandoned(self) -> Abandoned:
        """Return the flow runs that are running; call it before the worker starts."""
        from seraser_core.cli.abandoned import Abandoned  # imports Prefect, which takes seconds

        return Abandoned(self.api_url, WORK_POOL, _WORKER)

    def start_worker(self) -> None:
        """Start a worker of the pool."""
        options = ("--pool", WORK_POOL, "--type", "process", "--install-policy", "never")
        name = ("--name", _WORKER)
        self._children.start("worker", "worker", "start", *options, *name, end_s=_END_S["worker"])

    def wait(self, seconds: float = math.inf) -> None:
        """Wait some time, or until a signal.

        Raises:
            SeraserError: A child ended by itself.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._children.check()
            self._pause(min(1, left))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._stop.is_set():  # a second Ctrl-C must not disturb the end of the first
            self._stop.set()
            raise Stopped

    def _pause(self, seconds: float) -> None:
        self._stop.wait(seconds)
