"""Packing of class prompts into rows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from seraser_core.models.rows import pack

SIZES = st.lists(st.integers(1, 20), min_size=1, max_size=60)


@given(SIZES, st.integers(1, 40))
def test_every_sequence_is_in_one_row_that_holds_it(sizes, most):
    rows = pack(sizes, most)
    assert sorted(one for row in rows for one in row) == list(range(len(sizes)))
    assert all(row == sorted(row) for row in rows)
    assert max(sum(sizes[one] for one in row) for row in rows) <= max(most, *sizes, 0)


@given(SIZES, st.integers(1, 40))
def test_rows_are_few_and_as_short_as_they_can_be(sizes, most):
    rows = pack(sizes, most)
    room = max(most, *sizes, 0)
    least = -(-sum(sizes) // room)
    assert len(rows) <= max(least, -(-3 * least // 2)), "best fit, decreasing: at most 3/2 of it"
    longest = max(sum(sizes[one] for one in row) for row in rows)
    if longest > max(sizes):
        assert len(pack(sizes, longest - 1)) > len(rows)


def test_an_even_cut_is_found():
    assert pack([4] * 4, 14) == [[0, 1], [2, 3]], "not three and one"
    assert pack([5, 1, 1, 1, 5, 1], 7) in ([[0, 1, 2], [3, 4, 5]], [[0, 1, 3], [2, 4, 5]])


def test_many_classes_fill_their_rows():
    sizes = [1 + (7 * i) % 9 for i in range(21_000)]
    rows = pack(sizes, 60)
    assert len(rows) == -(-sum(sizes) // 60)
