"""Seconds that threads spend, by activity."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Thread-safe sums of seconds by name."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @contextmanager
    def on(self, name: str, not_on: str | None = None) -> Iterator[None]:
        """Count the seconds of the block under `name`.

        Args:
            name: Name of the sum.
            not_on: Name under which a block around this one counts, but for these seconds.
        """
        mark = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - mark
            with self._lock:
                self._seconds[name] += seconds
                if not_on is not None:
                    self._seconds[not_on] -= seconds

    def __getitem__(self, name: str) -> float:
        """Seconds counted under `name`; 0 where there are none."""
        with self._lock:
            return self._seconds.get(name, 0.0)
