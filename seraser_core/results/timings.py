"""Where the time of shards went, from what their commits and metrics record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any


def bound_by(seconds: Mapping[str, float]) -> str:
    """What most of the time went to: model, fetch, decode or overhead.

    Args:
        seconds: ``wall_s``, ``model_s``, ``data_wait_s``, ``fetch_s``, ``decode_s`` of shards.
    """
    waiting = "fetch" if seconds["fetch_s"] > seconds["decode_s"] else "decode"
    shares = {
        "model": seconds["model_s"],
        waiting: seconds["data_wait_s"],
        "overhead": overhead(seconds),
    }
    return max(shares, key=lambda name: shares[name])


def overhead(seconds: Mapping[str, float]) -> float:
    """Seconds in neither model nor waiting for fetched and decoded pictures."""
    return max(0.0, seconds["wall_s"] - seconds["model_s"] - seconds["data_wait_s"])


def between_shards(commits: Iterable[Mapping[str, Any]]) -> float:
    """Seconds in which a process that was to compute more shards computed none.

    Args:
        commits: With ``host``, ``process``, ``started`` and ``finished`` (seconds since 1970).
            A process is named with the time it began, so one that resumes is another.
    """
    spans: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for commit in commits:
        spans[commit["host"], commit["process"]].append((commit["started"], commit["finished"]))
    idle = 0.0
    for parts in spans.values():
        parts.sort()
        reached = parts[0][0]
        for started, finished in parts:
            idle += max(0.0, started - reached)
            reached = max(reached, finished)
    return idle
