"""Processor cores of this process."""

from __future__ import annotations

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(quota: Path = _QUOTA) -> list[int]:
    """Return the cores that this process may use: those of its affinity, as many as its share.

    Containers are held to a share of the processor by their cgroup (version 2), which shows in no
    affinity.

    Args:
        quota: File with the microseconds per period that all threads may compute together.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
    else:
        cores = list(range(os.cpu_count() or 1))
    try:
        allowed, period = quota.read_text().split()
        share = math.ceil(int(allowed) / int(period))
    except (OSError, ValueError):  # no cgroup here, or "max"
        return cores
    return cores[: max(1, share)]
