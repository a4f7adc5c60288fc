"""Intervals and tests of proportions against published values and literal definitions."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seraser_core.results.significance import holm, mcnemar, wilson


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        # Newcombe (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (10, 10, 0.7225, 1.0),
    ],
)
def test_wilson_of_known_proportions(correct, n, low, high):
    assert wilson(correct, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_of_nothing_says_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 10**7).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_ends_solve_the_score_equation(counts):
    correct, n = counts
    low, high = wilson(correct, n)
    assert 0 <= low <= correct / n + 1e-12
    assert correct / n - 1e-12 <= high <= 1
    for end in (low, high):  # (share - p)^2 = z^2 p (1 - p) / n
        error = (correct / n - end) ** 2 - 1.959963984540054**2 * end * (1 - end) / n
        assert error == pytest.approx(0, abs=1e-12)


def exact_mcnemar(fixed: int, broken: int) -> Fraction:
    n = fixed + broken
    tail = sum(math.comb(n, k) for k in range(min(fixed, broken) + 1))
    return min(Fraction(1), Fraction(2 * tail, 2**n))


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_exact_binomial_tail(fixed, broken):
    expected = float(exact_mcnemar(fixed, broken))
    assert mcnemar(fixed, broken) == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert mcnemar(fixed, broken) == mcnemar(broken, fixed)


@pytest.mark.parametrize(
    ("fixed", "broken", "p"), [(0, 0, 1.0), (1, 0, 1.0), (6, 0, 0.03125), (10, 2, 0.03857421875)]
)
def test_mcnemar_of_known_counts(fixed, broken, p):
    assert mcnemar(fixed, broken) == pytest.approx(p, rel=1e-12)


def test_mcnemar_of_millions_of_images():
    assert mcnemar(500_000, 500_000) == 1.0
    assert mcnemar(1_000_000, 0) == 0.0
    # 2 P(X <= 498000) of Bin(10^6, 1/2): the normal tail at z = 3.999 with continuity.
    assert mcnemar(502_000, 498_000) == pytest.approx(math.erfc(3.999 / math.sqrt(2)), rel=1e-3)


def closed_bonferroni(p_values: list[float]) -> list[float]:
    """The closed test: the largest Bonferroni p of all sets of hypotheses that hold this one."""
    places = range(len(p_values))
    sets = [s for size in places for s in itertools.combinations(places, size + 1)]
    return [
        max(min(1.0, len(s) * min(p_values[i] for i in s)) for s in sets if place in s)
        for place in places
    ]


@given(st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.05, 1.0]), max_size=8))
def test_holm_is_the_closed_test_by_bonferroni(p_values):
    assert holm(p_values) == closed_bonferroni(p_values)


@given(st.lists(st.floats(0, 1), max_size=60))
def test_holm_never_lowers_a_p_and_keeps_their_order(p_values):
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    for (p, q), (other, after) in itertools.pairwise(sorted(zip(p_values, adjusted, strict=True))):
        assert q <= after
        assert p < other or q == after


def test_holm_of_known_values():
    # By hand: 4 * .005, 3 * .01, 2 * .03, and the larger of that and 1 * .04.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
