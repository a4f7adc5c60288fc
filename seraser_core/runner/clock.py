"""Seconds that threads spend, by activity."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from contextlib import AbstractContextManager
from types import TracebackType


class Clock:
    """Thread-safe sums of seconds by name."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def on(self, name: str, not_on: str | None = None) -> AbstractContextManager[None]:
        """Count the seconds of the block under `name`.

        Args:
            name: Name of the sum.
            not_on: Name under which a block around this one counts, but for these seconds.
        """
        return _Span(self, name, not_on)

    def add(self, name: str, seconds: float, not_on: str | None = None) -> None:
        """Count seconds, see `on`."""
        with self._lock:
            self._seconds[name] += seconds
            if not_on is not None:
                self._seconds[not_on] -= seconds

    def __getitem__(self, name: str) -> float:
        """Seconds counted under `name`; 0 where there are none."""
        with self._lock:
            return self._seconds.get(name, 0.0)


class _Span:
    """A block whose seconds are counted; several of each image."""

    __slots__ = ("_clock", "_mark", "_name", "_not_on")

    def __init__(self, clock: Clock, name: str, not_on: str | None) -> None:
        self._clock, self._name, self._not_on = clock, name, not_on

    def __enter__(self) -> None:
        self._mark = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clock.add(self._name, time.perf_counter() - self._mark, self._not_on)
