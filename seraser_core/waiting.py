"""Telling people, from anywhere in the code, what is being waited for."""

from __future__ import annotations

import atexit
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Watcher(Protocol):
    """Shows waits to people."""

    def waits(self, what: str | None) -> None:
        """Show the current wait; None when it is over."""

    def printed(self) -> None:
        """Note that something was printed."""


_lock = threading.Lock()
_begun: list[str] = []
_watcher: Watcher | None = None


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Announce a wait of perhaps seconds while it lasts, e.g. ``loading the model``.

    Whoever watches this process is told; without one, nothing happens. Of several, the last one to
    begin is shown.
    """
    _change(_begun.append, what)
    try:
        yield
    finally:
        _change(_begun.remove, what)


@contextmanager
def importing(what: str, package: str) -> Iterator[None]:
    """Announce an import of seconds, and spare the garbage collector what is imported.

    It would go through all of it again and again: a fifth of the time, and of a second later on.
    What was there before is spared, too, so nothing is in a program that has the package already:
    its own models would never be freed.

    Args:
        what: Name of what is imported, for people.
        package: Name of the package that takes the time.
    """
    collecting, there = gc.isenabled(), package in sys.modules
    gc.disable()
    try:
        with waiting(f"importing {what}"):
            yield
    finally:
        if not there and package in sys.modules:
            gc.freeze()
            atexit.register(gc.unfreeze)  # or triton complains of what is never taken down
        if collecting:
            gc.enable()


def printed() -> None:
    """Tell the watcher that something was printed."""
    if _watcher is not None:
        _watcher.printed()


@contextmanager
def watching_waits(watcher: Watcher) -> Iterator[None]:
    """Register `watcher` for this process while the block runs."""
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
