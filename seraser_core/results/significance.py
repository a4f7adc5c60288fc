"""Intervals of a proportion, and tests whether two methods differ: exact, closed formulas."""

from __future__ import annotations

import math
from collections.abc import Sequence


def wilson(correct: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's score interval of a proportion, 95 % by default; (0, 1) when n is 0."""
    if n == 0:
        return 0.0, 1.0
    share = correct / n
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def mcnemar(fixed: int, broken: int) -> float:
    """McNemar's exact two-sided p: min(1, 2 P(X <= min(fixed, broken))), X ~ Bin(n, 1/2)."""
    n, fewer = fixed + broken, min(fixed, broken)
    if n == 0:
        return 1.0
    log_term = math.lgamma(n + 1) - math.lgamma(fewer + 1) - math.lgamma(n - fewer + 1)
    total, ratio, k = 0.0, 1.0, fewer
    # Terms fall from k = fewer towards 0, so the sum ends as soon as they no longer count.
    while k >= 0 and ratio > 1e-18:
        total += ratio
        ratio *= k / (n - k + 1)
        k -= 1
    return min(1.0, 2 * math.exp(log_term - n * math.log(2)) * total)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p of each of m tests: max over i <= k of min(1, (m - i + 1) p_(i))."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    for before, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - before) * p_values[place]))
        adjusted[place] = largest
    return adjusted
