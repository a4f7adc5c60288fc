"""Computing the missing shards of a run in this process, without an orchestrator."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Sequence

from seraser_core.errors import SeraserError, TransientError
from seraser_core.results.run_directory import RunDirectory
from seraser_core.runner.shard import Progress, run_shard
from seraser_core.sources.items import ShardRange

logger = logging.getLogger(__name__)
_BACKOFF_S = (1.0, 60.0)


def run_local(
    run_url: str,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    shards: Sequence[ShardRange] | None = None,
) -> None:
    """Compute every missing shard, one after the other; passing faults are retried with backoff.

    A shard that fails for good does not keep the others from being computed.

    Args:
        run_url: The run directory.
        progress: Told of every image.
        stop: When set, no further shard is begun.
        shards: Those to compute; all that are missing when None.

    Raises:
        SeraserError: Shards failed; the message names the first fault of each.
    """
    directory = RunDirectory(run_url)
    retries = int(directory.run()["config"]["runtime"]["retries"])
    stop = stop or threading.Event()
    failed: dict[str, str] = {}
    for shard in directory.missing() if shards is None else shards:
        if stop.is_set():
            return
        try:
            _with_retries(run_url, shard.id, progress, retries, stop)
        except (SeraserError, OSError) as error:
            logger.error("shard %s failed: %s", shard.id, error)
            failed[shard.id] = f"{type(error).__name__}: {error}"
    if failed:
        first = "; ".join(f"{shard}: {fault}" for shard, fault in list(failed.items())[:3])
        raise SeraserError(f"{len(failed)} shards failed ({first}); run again to retry them")


def _with_retries(
    run_url: str, shard_id: str, progress: Progress | None, retries: int, stop: threading.Event
) -> None:
    for attempt in range(1, retries + 2):
        try:
            run_shard(run_url, shard_id, progress, attempt)
            return
        except TransientError as error:
            if attempt > retries or stop.is_set():
                raise
            shortest, longest = _BACKOFF_S
            pause = min(longest, shortest * 2 ** (attempt - 1)) * random.uniform(0.5, 1.5)  # noqa: S311
            logger.warning("shard %s: %s; again in %.0f s", shard_id, error, pause)
            stop.wait(pause)
