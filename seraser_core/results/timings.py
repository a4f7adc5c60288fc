"""Where the time of shards went, from what their commits and metrics record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

Span = tuple[float, float]


def bound_by(seconds: Mapping[str, float]) -> str:
    """What most of the time went to: model, fetch, decode or overhead.

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


def process_spans(commits: Iterable[Mapping[str, Any]]) -> list[Span]:
    """When each process that computed shards began the first and ended the last of them.

    Args:
        commits: With ``host``, ``process``, ``started`` and ``finished`` (seconds since 1970).
            A process is named with the time it began, so one that resumes is another.
    """
    spans: defaultdict[tuple[str, str], list[Span]] = defaultdict(list)
    for commit in commits:
        spans[commit["host"], commit["process"]].append((commit["started"], commit["finished"]))
    return [(min(s for s, _ in parts), max(f for _, f in parts)) for parts in spans.values()]


def elapsed(spans: Iterable[Span]) -> float:
    """Seconds in which at least one of `spans` lasted."""
    total, reached = 0.0, float("-inf")
    for started, finished in sorted(spans):
        total += max(0.0, finished - max(started, reached))
        reached = max(reached, finished)
    return total
