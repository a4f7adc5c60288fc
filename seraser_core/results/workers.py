"""Processes that compute the shards of a run, from what their commits record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seraser_core.results.records import Commit

_ALIVE_S = 600.0
_ALIVE_SHARDS = 3
"""Times of its longest shard after which a process that commits nothing is taken for gone."""


@dataclass(frozen=True)
class Worker:
    """A process that committed shards.

    Attributes:
        host: Name of its machine.
        process: Its number, with the time it began.
        device: Name of its device.
        shards: Number of its shards.
        images: Images that it computed.
        first: When it began the first shard, in seconds since 1970.
        last_commit: When it committed the last one.
        longest_s: Seconds of its longest shard.
    """

    host: str
    process: str
    device: str
    shards: int
    images: int
    first: float
    last_commit: float
    longest_s: float

    @property
    def images_per_s(self) -> float:
        """Speed from the first shard to the last."""
        return self.images / max(self.last_commit - self.first, 1e-9)

    def is_alive(self, now: float) -> bool:
        """Return whether it committed something not long ago."""
        return now - self.last_commit < max(_ALIVE_S, _ALIVE_SHARDS * self.longest_s)

    def document(self) -> dict[str, Any]:
        """Return it for people and scripts."""
        shown = asdict(self)
        del shown["first"], shown["longest_s"]
        return shown | {"images_per_s": self.images_per_s}


def workers_of(commits: Iterable[Commit]) -> list[Worker]:
    """Return the processes that made some commits, the one that made the last of them first."""
    by_process: defaultdict[tuple[str, str], list[Commit]] = defaultdict(list)
    for commit in commits:
        by_process[commit.host, commit.process].append(commit)
    workers = [
        Worker(
            host=host,
            process=process,
            device=str(part[-1].timings.device.get("name", "")),
            shards=len(part),
            images=sum(commit.timings.images for commit in part),
            first=min(commit.started for commit in part),
            last_commit=max(commit.finished for commit in part),
            longest_s=max(commit.finished - commit.started for commit in part),
        )
        for (host, process), part in by_process.items()
    ]
    return sorted(workers, key=lambda worker: worker.last_commit, reverse=True)


def remaining_s(workers: Sequence[Worker], images: int, now: float) -> float | None:
    """Return the seconds that the workers which still commit need for some images.

    None where none does; 0 where no image is left.
    """
    if not images:
        return 0.0
    speed = sum(worker.images_per_s for worker in workers if worker.is_alive(now))
    return images / speed if speed else None
