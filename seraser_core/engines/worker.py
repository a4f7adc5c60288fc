"""Functions that run in the workers of a Dask cluster, which import no Prefect."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from distributed import Worker, get_worker

from seraser_core.engines.base import Compute, Say
from seraser_core.errors import DeviceLostError, SeraserError, TransientError
from seraser_core.waiting import importing

if TYPE_CHECKING:
    from seraser_core.results.records import Commit

A = TypeVar("A")
T = TypeVar("T")
TOPIC = "seraser-progress"
CORES = "SERASER_WORKER_CORES"
"""Variable with the cores of a worker, ``0,1,2``."""
_EVERY_S = 0.5
_stopped: set[str] = set()
_engine: str | None = None


class StoppedError(SeraserError):
    """The engine that wanted a shard was interrupted."""


@dataclass(frozen=True)
class Computed:
    """A computed shard.

    Attributes:
        commit: Its newest commit.
        images: Images that its progress was told of.
    """

    commit: Commit
    images: int


class _Reporter:
    """Progress of a shard, sent to whoever wants it.

    Args:
        engine: Names the engine that wants it.
        key: Names the attempt.
    """

    def __init__(self, engine: str, key: str) -> None:
        self._engine, self._key = engine, key
        self._worker = get_worker()  # which the threads that compute do not know
        self.images, self._sent = 0, float("-inf")

    def advance(self, images: int) -> None:
        """`images` more images are done.

        Raises:
            KeyboardInterrupt: The engine was interrupted.
        """
        if self._engine in _stopped:
            raise KeyboardInterrupt
        self.images += images
        if time.monotonic() - self._sent > _EVERY_S:
            self._sent = time.monotonic()
            self._worker.log_event(TOPIC, {"key": self._key, "images": self.images})


def compute(
    engine: str, key: str, work: Compute | None, run_url: str, shard_id: str, attempt: int
) -> Computed:
    """Compute a shard, as `Engine.compute` says.

    Raises:
        StoppedError: The engine was interrupted.
        TransientError: Also of a GPU that is lost to this process, which ends then.
    """
    from seraser_core.results.shards import opened

    global _engine
    if _engine != engine:  # the run may have been planned again since
        opened.cache_clear()
        _engine = engine
    if work is None:
        with importing("PyTorch", "torch"):  # which other work may not need
            from seraser_core.runner.shard import run_shard

        work = run_shard
    reporter = _Reporter(engine, key)
    try:
        commit = work(run_url, shard_id, reporter, attempt)
    except KeyboardInterrupt:  # which would end the worker
        raise StoppedError("interrupted") from None
    except DeviceLostError as error:
        threading.Timer(1.0, os._exit, [70]).start()  # its nanny begins another process
        raise TransientError(f"{error} (worker {get_worker().address})") from None
    return Computed(commit, reporter.images)


def call(function: Callable[[A, Say], T], argument: A) -> tuple[T, list[str]]:
    """Return ``function(argument, say)``, and the lines that it said."""
    lines: list[str] = []
    return function(argument, lines.append), lines


def stop(engine: str) -> None:
    """End all shards of an engine after the batch they are at."""
    _stopped.add(engine)


def dask_setup(worker: Worker) -> None:
    """Prepare a process that this machine's engine has started, before anything is computed.

    An interruption of the terminal reaches all its processes; the engine's own tells them in order.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cores = os.environ.get(CORES)
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})


def dask_teardown(worker: Worker) -> None:
    """End the process soon: threads of a session would be waited for until they are killed."""
    ending = threading.Timer(0.2, os._exit, [0])
    ending.daemon = True
    ending.start()
