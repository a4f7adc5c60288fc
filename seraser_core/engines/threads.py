"""The engine of one device: this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from seraser_core.engines.base import Compute, Engine, Progress, Say

if TYPE_CHECKING:
    from seraser_core.results.records import Commit

A = TypeVar("A")
T = TypeVar("T")


class ThreadEngine(Engine):
    """Computes shards in the threads that ask for it."""

    def slots(self, parallel_shards: int) -> int:
        """See `Engine.slots`: one more than compute is made ready meanwhile, see `run_shard`."""
        return parallel_shards + 1

    def compute(
        self,
        run_url: str,
        shard_id: str,
        progress: Progress,
        attempt: int,
        work: Compute | None = None,
    ) -> Commit:
        """See `Engine.compute`."""
        if work is None:
            from seraser_core.runner.shard import run_shard  # the model, not needed to plan

            work = run_shard
        return work(run_url, shard_id, progress, attempt)

    def call(self, function: Callable[[A, Say], T], argument: A, say: Say) -> T:
        """See `Engine.call`."""
        return function(argument, say)
