"""A run on Prefect's pages while its shards are computed."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)

from seraser_core.results.watched import Seen, Watch, WatchedRun
from seraser_core.runner.observers import Observers, Silence
from tasks.aggregate import artifact_key
from tasks.observer import current, observe
from tasks.so_far import so_far

EVERY_S = 5.0
"""Least time between two states of a page."""
_SHARES = (0.05, *(tenth / 10 for tenth in range(1, 11)))
"""Shares of a run's images after which its groups are shown."""


@contextmanager
def on_pages(run: WatchedRun, done: int, total: int) -> Iterator[None]:
    """Show the progress of a run and its groups so far while its shards are computed.

    Progress counts the images that the workers of this process tell of, and the rows of others as
    they are committed. Groups are from commits, each of which is read once.

    Args:
        run: The run.
        done: Images that have rows.
        total: All images.
    """
    pages = _Pages(run, done, total)
    context = contextvars.copy_context()  # with the flow run, to which artifacts belong

    def show(seen: Seen) -> None:
        context.copy().run(pages.show, seen)

    with observe(Observers(current(), pages)), Watch(run, show, EVERY_S):
        yield


class _Pages(Silence):
    """The pages of a run."""

    def __init__(self, run: WatchedRun, done: int, total: int) -> None:
        self._run, self._total = run, total
        self._lock = threading.Lock()
        self._done = done
        self._shown = self._percent(done)
        self._next = [share for share in _SHARES if share * total > done]
        self._progress: Any = create_progress_artifact(
            progress=self._shown,
            key=artifact_key(run.run.name, "progress"),
            description=f"Images of run {run.run.run_id} that are computed",
        )

    def advance(self, images: int) -> None:
        """Count images."""
        with self._lock:
            self._done += images

    def show(self, seen: Seen) -> None:
        """Bring the pages up to date, those that have changed."""
        images: Mapping[str, int] = seen.status["images"]
        with self._lock:
            self._done = max(self._done, images["done"])
            percent = self._percent(self._done)
        if percent != self._shown:
            update_progress_artifact(self._progress, percent)
            self._shown = percent
        passed = [share for share in self._next if share * self._total <= images["done"]]
        if passed:
            create_markdown_artifact(
                markdown=so_far(seen),
                key=artifact_key(self._run.run.name, "so-far"),
                description=f"Run {self._run.run.run_id} at {100 * passed[-1]:.0f} %",
            )
            self._next = self._next[len(passed) :]

    def _percent(self, images: int) -> float:
        return round(100.0 * images / max(1, self._total), 1)
