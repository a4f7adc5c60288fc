"""Computing the missing shards of a run on an engine, without an orchestrator."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from seraser_core.engines.base import Compute, Engine, Progress
from seraser_core.engines.threads import ThreadEngine
from seraser_core.errors import (
    DeviceLostError,
    ErrorRateError,
    SeraserError,
    TransientError,
    in_a_sentence,
)
from seraser_core.results.records import Timings
from seraser_core.results.shards import RunDirectory, opened
from seraser_core.sources.items import ShardRange

logger = logging.getLogger(__name__)
BACKOFF_S = (1.0, 60.0)
"""Shortest and longest pause before a shard is tried again."""


def run_local(
    run_url: str,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    shards: Sequence[ShardRange] | None = None,
    committed: Callable[[Timings], None] | None = None,
    compute: Compute | None = None,
    engine: Engine | None = None,
) -> None:
    """Compute every missing shard, as many at once as the engine has slots.

    Passing faults are retried with backoff. A shard that fails for good does not keep the others
    from being computed, unless too many of its images do.

    Args:
        run_url: The run directory.
        progress: Told of every image, from the threads that compute the shards.
        stop: When set, no further shard is begun; an interruption sets it.
        shards: Those to compute; all that are missing when None.
        committed: Told of the timings of every shard that is committed, from the same threads.
        compute: What computes a shard; `run_shard` when None.
        engine: Where; this process when None.

    Raises:
        SeraserError: The engine cannot be started, or shards failed; the message names the first
            fault of each. A DeviceLostError where this process can compute no more.
        KeyboardInterrupt: By a signal or by `progress`; every shard ended after the batch it was
            at.
    """
    opened.cache_clear()  # the run may have been planned again since
    directory = RunDirectory(run_url)
    runtime = directory.run.config.runtime
    todo = [shard.id for shard in (directory.missing() if shards is None else shards)]
    stop = stop or threading.Event()
    engine = engine or ThreadEngine()
    if todo:
        engine.start()
    work = _Work(directory, runtime.retries, progress, stop, committed, engine, compute)
    at_once = max(1, min(engine.slots(runtime.parallel_shards), len(todo)))
    with ThreadPoolExecutor(at_once, thread_name_prefix="shard") as pool:
        try:
            faults = list(pool.map(work.compute, todo))
        except BaseException:
            work.interrupt()
            raise
    failed = {shard: fault for shard, fault in zip(todo, faults, strict=True) if fault is not None}
    if failed:
        first = "; ".join(f"{shard}: {fault}" for shard, fault in list(failed.items())[:3])
        kind = DeviceLostError if work.lost else SeraserError
        raise kind(
            f"{len(failed)} of {len(todo)} shards failed ({first})", "run again to retry them"
        )


class _Work:
    """State that the threads of one `run_local` share."""

    def __init__(
        self,
        directory: RunDirectory,
        retries: int,
        progress: Progress | None,
        stop: threading.Event,
        committed: Callable[[Timings], None] | None,
        engine: Engine,
        compute: Compute | None,
    ) -> None:
        self._directory, self._retries = directory, retries
        self._engine, self._compute = engine, compute
        self._progress, self._stop, self._committed = progress, stop, committed
        self._interrupted = threading.Event()
        self.lost = False

    def interrupt(self) -> None:
        """Begin nothing more, and end what is being computed after the batch it is at."""
        self._interrupted.set()
        self._stop.set()

    def advance(self, images: int) -> None:
        """Pass on that `images` more images are done.

        Raises:
            KeyboardInterrupt: The work was interrupted.
        """
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        if self._progress:
            self._progress.advance(images)

    def compute(self, shard_id: str) -> str | None:
        """Compute one shard; returns why it failed for good, None when it did not."""
        if self._stop.is_set():
            return None
        try:
            self._with_retries(shard_id)
        except Exception as error:  # whatever it is, it must not cost the other shards
            logger.error("shard %s failed: %s", shard_id, error)
            if isinstance(error, ErrorRateError | DeviceLostError):  # others would fare the same
                self._stop.set()
            self.lost |= isinstance(error, DeviceLostError)
            return f"{type(error).__name__}: {in_a_sentence(error)}"
        except BaseException:
            self.interrupt()
            raise
        return None

    def _with_retries(self, shard_id: str) -> None:
        attempt = 1
        while True:
            try:
                given = self._directory.url, shard_id, self, attempt, self._compute
                commit = self._engine.compute(*given)
                if self._committed:
                    self._committed(commit.timings)
                return
            except DeviceLostError:
                raise
            except TransientError as error:
                if attempt > self._retries or self._stop.is_set():
                    raise
                shortest, longest = BACKOFF_S
                pause = min(longest, shortest * 2 ** (attempt - 1)) * random.uniform(0.5, 1.5)  # noqa: S311
                logger.warning("shard %s: %s; again in %.0f s", shard_id, error, pause)
                if self._stop.wait(pause):
                    raise
            attempt += 1
