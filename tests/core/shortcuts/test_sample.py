"""Samples: the images with the smallest hashes, whatever the order in which they are merged."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seraser_core.shortcuts.sample import Sample, key, merge


def _sample(numbers: list[int], erased: bool = True) -> Sample:
    """Return the sample of the images with these numbers, of which every value is a function."""
    n = np.asarray(numbers, dtype=np.int64)
    logits = np.stack([n, n + 1], axis=1).astype(np.float32)
    return Sample(
        item_ids=[str(number) for number in numbers],
        keys=np.asarray([key(0, str(number)) for number in numbers], dtype=np.uint64),
        whole=logits,
        background=logits + 1,
        foreground=logits + 2,
        erased=logits + 3 if erased else None,
        features=logits / np.hypot(*logits.T)[:, None],
        area=(n / 100).astype(np.float32),
        labels=n % 2,
        attributes=n % 3,
    )


def _assert_same(one: Sample, other: Sample) -> None:
    for field in fields(Sample):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert np.array_equal(a, b), field.name


@given(
    st.lists(st.integers(0, 60), unique=True, min_size=1),
    st.integers(1, 30),
    st.randoms(use_true_random=False),
)
def test_samples_merge_in_any_order_and_any_groups(numbers, n, random):
    whole = _sample(sorted(numbers, key=lambda number: key(0, str(number)))[:n])
    random.shuffle(numbers)
    cuts = sorted(random.randrange(len(numbers) + 1) for _ in range(3))
    parts = [numbers[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
    samples = [_sample(part).smallest(n) for part in parts]
    _assert_same(merge(samples, n), whole)
    _assert_same(merge([merge(samples[2:], n), merge(samples[:2], n)], n), whole)


def test_an_image_of_two_samples_counts_once():
    merged = merge([_sample([1, 2, 3]), _sample([3, 2, 4])], 10)
    assert sorted(merged.item_ids) == ["1", "2", "3", "4"]


def test_samples_with_and_without_erased_logits_do_not_merge():
    with pytest.raises(ValueError, match="only some"):
        merge([_sample([1]), _sample([2], erased=False)], 5)
    assert merge([_sample([1], erased=False), _sample([2], erased=False)], 5).erased is None
