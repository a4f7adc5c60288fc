"""Shards computed by the workers of a Dask scheduler, whoever has started them.

Prefect's tasks, with their logs, retries and limits, stay in the process of the flow; each hands
its shard over and waits. Dask notices workers that die; how often that may happen to a shard is
counted here, so that none is failed for the fault of another.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import dask
from distributed import Client, Future, KilledWorker
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError

from seraser_core.config.execution import ExecutionOptions
from seraser_core.engines import worker
from seraser_core.engines.base import Compute, Engine, Progress, Say
from seraser_core.errors import SeraserError
from seraser_core.waiting import waiting

if TYPE_CHECKING:
    from seraser_core.results.records import Commit

A = TypeVar("A")
T = TypeVar("T")
SETTINGS = {
    "distributed.diagnostics.nvml": False,
    # For processes to start with, in place of one thread of OpenMP; this process has it as well.
    "distributed.nanny.pre-spawn-environ": {"DASK_LOGGING__DISTRIBUTED": "error"},
    "distributed.scheduler.allowed-failures": 0,  # they are counted here
    "distributed.scheduler.worker-saturation": 1.0,  # no shard waits at a worker
    "distributed.scheduler.worker-ttl": "10 minutes",
    "distributed.worker.daemon": False,  # decoders are children of a worker
    "distributed.worker.profile.enabled": False,
}
LOOK_EVERY_S = 5.0
_STOP_WITHIN_S = 60.0


class DaskEngine(Engine):
    """Hands shards to the workers of a Dask scheduler.

    Args:
        options: Where they are, and what may happen to them.
    """

    def __init__(self, options: ExecutionOptions) -> None:
        self._options = options
        self._name = uuid4().hex
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._handed: dict[str, _Handed] = {}
        self._suspects = threading.Condition()
        self._suspected: set[str] = set()  # workers that compute a shard over which one died
        self._without_since: float | None = None

    @abstractmethod
    def _connect(self) -> Client:
        """Start or find a scheduler and return a client of it."""

    def start(self) -> None:
        """See `Engine.start`."""
        self._opened()

    def _opened(self) -> Client:
        with self._lock:
            if self._client is None:
                dask.config.set(SETTINGS)
                logging.getLogger("distributed").setLevel(logging.ERROR)
                with waiting("starting workers"):
                    client = self._connect()
                    self._client = client
                    client.subscribe_topic(worker.TOPIC, self._told)
                    client.forward_logging("seraser_core")
                    self._wait_for_workers(client)
            return self._client

    def _wait_for_workers(self, client: Client) -> None:
        try:
            client.wait_for_workers(1, timeout=self._options.start_timeout)
        except TimeoutError:
            raise SeraserError(self._no_worker()) from None

    def _no_worker(self) -> str:
        seconds = self._options.start_timeout
        return (
            f"no worker has come within execution.start_timeout = {seconds:g} s; see whether their "
            "jobs wait in a queue, and whether they reach the scheduler"
        )

    def _told(self, event: tuple[float, dict[str, Any]]) -> None:
        """Take an event of a worker, in Dask's own thread."""
        message = event[1]
        handed = self._handed.get(message["key"])
        if handed is not None:
            handed.tell(message["images"])

    def compute(
        self,
        run_url: str,
        shard_id: str,
        progress: Progress,
        attempt: int,
        work: Compute | None = None,
    ) -> Commit:
        """See `Engine.compute`."""
        deaths = 0
        while True:
            try:
                if not deaths:
                    return self._compute(run_url, shard_id, progress, attempt, work)
                with self._without_suspect() as address:
                    return self._compute(run_url, shard_id, progress, attempt, work, address)
            except _GoneError:  # before it began there
                continue
            except KilledWorker as error:
                deaths += 1
                if deaths > self._options.lost_workers:
                    raise SeraserError(
                        f"its worker died {deaths} times, the last one was "
                        f"{error.last_worker.address}; see the system's log for memory that ran "
                        "out, or raise execution.lost_workers"
                    ) from None

    @contextmanager
    def _without_suspect(self) -> Iterator[str]:
        """Yield the address of a worker for one suspect, so that no other dies of it."""
        with self._suspects:
            while not (free := self._opened().nthreads().keys() - self._suspected):
                self._check_workers()
                self._suspects.wait(LOOK_EVERY_S)
            address = min(free)
            self._suspected.add(address)
        try:
            yield address
        finally:
            with self._suspects:
                self._suspected.discard(address)
                self._suspects.notify_all()

    def _compute(
        self,
        run_url: str,
        shard_id: str,
        progress: Progress,
        attempt: int,
        work: Compute | None,
        address: str | None = None,
    ) -> Commit:
        client, key = self._opened(), f"shard-{shard_id}-{uuid4().hex[:8]}"
        handed = self._handed[key] = _Handed(progress)
        given = self._name, key, work, run_url, shard_id, attempt
        future = client.submit(worker.compute, *given, key=key, pure=False, workers=address)
        try:
            return self._result(future, handed, address)
        except (KilledWorker, _GoneError):
            future.cancel()
            handed.take_back()
            raise
        except worker.StoppedError:  # by another shard's interruption
            raise KeyboardInterrupt from None
        except FutureCancelledError as error:
            raise SeraserError(f"the Dask scheduler is gone ({error})", "run again") from error
        except KeyboardInterrupt:
            self._interrupt(client, future)
            raise
        finally:
            del self._handed[key]

    def _result(self, future: Future[Any], handed: _Handed, address: str | None) -> Commit:
        future.add_done_callback(lambda _: handed.wake())
        while not future.done():
            if not handed.wait(LOOK_EVERY_S):
                self._check_workers(address)
            handed.pass_on()
        computed: worker.Computed = future.result()
        handed.tell(computed.images)
        handed.pass_on()
        return computed.commit

    def _check_workers(self, address: str | None = None) -> None:
        """See that there is a worker, or was one not long ago.

        Args:
            address: The one that must be there, if any.

        Raises:
            SeraserError: There has been none for too long.
            _GoneError: There are others only.
        """
        try:
            there = self._opened().nthreads()
        except (CommClosedError, OSError) as error:
            raise SeraserError(f"the Dask scheduler is gone ({error})", "run again") from error
        if there:
            self._without_since = None
            if address is not None and address not in there:
                raise _GoneError
            return
        since = self._without_since = self._without_since or time.monotonic()
        if time.monotonic() - since > self._options.start_timeout:
            raise SeraserError(self._no_worker())

    def _interrupt(self, client: Client, future: Future[Any]) -> None:
        """End what is being computed after the batch it is at, and wait for it."""
        client.run(worker.stop, self._name)
        ended = threading.Event()
        future.add_done_callback(lambda _: ended.set())
        ended.wait(_STOP_WITHIN_S)
        future.cancel()

    def call(self, function: Callable[[A, Say], T], argument: A, say: Say) -> T:
        """See `Engine.call`."""
        client = self._opened()
        result: T
        try:
            given = function, argument
            result, lines = client.submit(worker.call, *given, pure=False).result()
        except KilledWorker as error:
            raise SeraserError(f"a worker died over it: {error}") from None
        for line in lines:
            say(line)
        return result

    def close(self) -> None:
        """See `Engine.close`."""
        if self._client is not None:
            self._client.close()
            self._client = None


class _GoneError(Exception):
    """The worker that was to compute a shard is gone."""


class _Handed:
    """A shard that was handed over, and what its worker tells of it.

    Args:
        progress: Told of it, in the thread that waits for it.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._news = threading.Event()
        self._images = self._passed = 0

    def tell(self, images: int) -> None:
        """Take that `images` are done in all."""
        self._images = images
        self._news.set()

    def wake(self) -> None:
        """End `wait`."""
        self._news.set()

    def wait(self, seconds: float) -> bool:
        """Wait for news; returns whether there is any."""
        there = self._news.wait(seconds)
        self._news.clear()
        return there

    def pass_on(self) -> None:
        """Tell `progress` what is new, or nothing."""
        images = self._images
        new, self._passed = images - self._passed, images
        self._progress.advance(new)

    def take_back(self) -> None:
        """Take back what `progress` was told: the shard begins again elsewhere."""
        self._progress.advance(-self._passed)
