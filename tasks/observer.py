"""Observers of a flow inside its own process, such as the progress bars of the command line.

Tasks travel with a run directory and a shard id only, so a watcher is not passed to them: it is
registered here, for this process. Without one, nothing happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from seraser_core.results.records import Timings


class Observer(Protocol):
    """Gets the events of a run, in the threads where they happen."""

    def say(self, text: str) -> None:
        """Report a finished step of planning, or a fault that is handled."""

    def planned(self, run_url: str, done: int, total: int) -> None:
        """Report a planned run; `done` of its `total` images already have rows."""

    def advance(self, images: int) -> None:
        """`images` more images are done; negative when a shard has to begin again."""

    def committed(self, timings: Timings) -> None:
        """A shard was committed; `timings` say where its time went."""


class Silence:
    """The observer of a process in which nobody watches."""

    def say(self, text: str) -> None:
        """Nothing."""

    def planned(self, run_url: str, done: int, total: int) -> None:
        """Nothing."""

    def advance(self, images: int) -> None:
        """Nothing."""

    def committed(self, timings: Timings) -> None:
        """Nothing."""


_current: Observer = Silence()


def current() -> Observer:
    """The registered observer, or one that does nothing."""
    return _current


@contextmanager
def observe(observer: Observer) -> Iterator[None]:
    """Register `observer` for this process while the block runs."""
    global _current
    before, _current = _current, observer
    try:
        yield
    finally:
        _current = before


class ShardProgress:
    """Progress of one attempt at one shard, passed on to an observer.

    Args:
        observer: The observer.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer, self._images = observer, 0

    def advance(self, images: int) -> None:
        """`images` more images of the shard are done."""
        self._images += images
        self._observer.advance(images)

    def begin_again(self) -> None:
        """The attempt failed: take back what it reported."""
        self._observer.advance(-self._images)
        self._images = 0
