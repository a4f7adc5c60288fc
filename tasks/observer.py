"""Observers of a flow inside its own process, such as the progress bars of the command line.

Tasks travel with a run directory and a shard id only, so a watcher is not passed to them: it is
registered here, for this process. Without one, nothing happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from seraser_core.config import RunConfig
from seraser_core.runner.observers import Observer, Silence, with_textfile

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


@contextmanager
def observing_as(config: RunConfig) -> Iterator[None]:
    """Register the observers of a configuration meanwhile, beside the one that is there."""
    with with_textfile(_current, config.execution.textfile) as observer, observe(observer):
        yield


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
