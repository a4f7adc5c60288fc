"""Sizes of batches for which steps are recorded."""

from __future__ import annotations


def kept_size(count: int) -> int:
    """The least of 1, 2, ... 8, 10, 12, 14, 16, 20, ... 32, 40, ... that is at least `count`."""
    step = _step(count - 1)
    return -(-count // step) * step


def kept_size_below(count: int) -> int:
    """The largest of these sizes that is at most `count`."""
    return count // _step(count) * _step(count)


def _step(count: int) -> int:
    """Four sizes from each power of two, from 8 on, to the next."""
    return int(2 ** max(0, count.bit_length() - 3))
