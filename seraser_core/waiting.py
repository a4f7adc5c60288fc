"""Telling people what is waited for, from wherever it is waited."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Watcher(Protocol):
    """Shows what is waited for."""

    def waits(self, what: str | None) -> None:
        """Something is waited for now; nothing when None."""

    def printed(self) -> None:
        """Something was printed."""


_lock = threading.Lock()
_begun: list[str] = []
_watcher: Watcher | None = None


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Name what may take seconds while it goes on, e.g. ``loading the model``.

    Whoever watches this process is told; without one, nothing happens. Of several, the last one to
    begin is shown.
    """
    _change(_begun.append, what)
    try:
        yield
    finally:
        _change(_begun.remove, what)


def printed() -> None:
    """Tell whoever watches that something was printed."""
    if _watcher is not None:
        _watcher.printed()


@contextmanager
def watching_waits(watcher: Watcher) -> Iterator[None]:
    """Register `watcher` for this process meanwhile."""
    global _watcher
    before, _watcher = _watcher, watcher
    try:
        yield
    finally:
        watcher.waits(None)
        _watcher = before


def _change(how: Callable[[str], None], what: str) -> None:
    with _lock:
        how(what)
        watcher, now = _watcher, _begun[-1] if _begun else None
    if watcher is not None:
        watcher.waits(now)
