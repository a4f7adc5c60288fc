"""Seconds that threads spend, by what they spend them on."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Sums of seconds by name, which several threads add to."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Count the seconds of the block under `name`."""
        mark = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - mark
            with self._lock:
                self._seconds[name] += seconds

    def __getitem__(self, name: str) -> float:
        """Seconds counted under `name`; 0 where there are none."""
        with self._lock:
            return self._seconds.get(name, 0.0)
