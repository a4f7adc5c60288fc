"""Times of shards, from what their commits record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seraser_core.results.records import Commit

Span = tuple[float, float]


def bound_by(seconds: Mapping[str, float]) -> str:
    """Name what most of the time went to: model, fetch, decode or overhead.

    Args:
        seconds: ``wall_s``, ``model_s``, ``data_wait_s``, ``load_s`` of shards, and in
            ``fetch_wait_s`` and ``decode_wait_s`` what the next image was waited for with.
    """
    waiting = "fetch" if seconds["fetch_wait_s"] > seconds["decode_wait_s"] else "decode"
    shares = {
        "model": seconds["model_s"],
        waiting: seconds["data_wait_s"],
        "overhead": overhead(seconds),
    }
    return max(shares, key=lambda name: shares[name])


def overhead(seconds: Mapping[str, float]) -> float:
    """Seconds in neither model, loading it, nor waiting for fetched and decoded pictures."""
    known = seconds["model_s"] + seconds["load_s"] + seconds["data_wait_s"]
    return max(0.0, seconds["wall_s"] - known)


@dataclass(frozen=True)
class ProcessTime:
    """A process that computed shards.

    Attributes:
        span: When it began the first and ended the last of them.
        at_once: How many it computed at once, at most.
    """

    span: Span
    at_once: int

    @property
    def wall_s(self) -> float:
        """Seconds of its span, once for every shard that it could compute at once."""
        started, finished = self.span
        return self.at_once * (finished - started)


def process_times(commits: Iterable[Commit]) -> list[ProcessTime]:
    """The processes that made some commits.

    A process is named with the time it began, so one that resumes is another.
    """
    by_process: defaultdict[tuple[str, str], list[tuple[Span, int]]] = defaultdict(list)
    for commit in commits:
        span = (commit.started, commit.finished)
        by_process[commit.host, commit.process].append((span, commit.timings.parallel_shards))
    return [
        ProcessTime(
            (min(s for (s, _), _ in parts), max(f for (_, f), _ in parts)),
            min(len(parts), max(parallel for _, parallel in parts)),
        )
        for parts in by_process.values()
    ]


def elapsed(spans: Iterable[Span]) -> float:
    """Seconds in which at least one of `spans` lasted."""
    total, reached = 0.0, float("-inf")
    for started, finished in sorted(spans):
        total += max(0.0, finished - max(started, reached))
        reached = max(reached, finished)
    return total
