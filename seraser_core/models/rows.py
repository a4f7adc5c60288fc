"""Packing sequences of several lengths into rows of one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


def pack(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Pack sequences into few rows, which are as short as that many rows can be.

    Args:
        sizes: Lengths of the sequences.
        most: Most places of a row; if a sequence is longer, its length.

    Returns:
        For every row, which sequences it holds, in order of their number.
    """
    most = max(most, *sizes)
    rows = _pack(sizes, most)
    for room in range(max(max(sizes), -(-sum(sizes) // len(rows))), most):
        shorter = _pack(sizes, room)
        if len(shorter) <= len(rows):
            return shorter
    return rows


def _pack(sizes: Sequence[int], room: int) -> list[list[int]]:
    """Best fit, the longest first: each into the row with the least room that is enough."""
    rows: list[list[int]] = []
    with_room: dict[int, list[int]] = {}  # room that is left -> rows
    left: list[int] = []  # its keys, in order
    for one in sorted(range(len(sizes)), key=lambda one: -sizes[one]):
        place = bisect_left(left, sizes[one])
        if place == len(left):
            row, rest = len(rows), room
            rows.append([])
        else:
            rest = left[place]
            row = with_room[rest].pop(0)
            if not with_room[rest]:
                del with_room[rest], left[place]
        rows[row].append(one)
        rest -= sizes[one]
        if rest not in with_room:
            with_room[rest] = []
            left.insert(bisect_left(left, rest), rest)
        with_room[rest].append(row)
    return [sorted(row) for row in rows]
