"""Wall and processor time of a process; it needs no package."""

from __future__ import annotations

import os
import time


class Stopwatch:
    """Wall and processor seconds of this process and the children that it has waited for."""

    def __init__(self) -> None:
        self._wall, self._processors = self._now()

    def seconds(self) -> tuple[float, float]:
        """Both since it was made."""
        wall, processors = self._now()
        return wall - self._wall, processors - self._processors

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), sum(os.times()[:4])
