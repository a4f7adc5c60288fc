"""The pull's figures against their literal definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from literal_shortcuts import literal_auc, literal_discoveries, literal_pull

from seraser_core.shortcuts.clusters import k_means, nearest
from seraser_core.shortcuts.half import softmax
from seraser_core.shortcuts.naming import area_under_curve
from seraser_core.shortcuts.pull import (
    PERMUTATIONS,
    benjamini_hochberg,
    detectable_pull,
    permutation_p,
    pull_low,
    pulls,
    shuffles,
    strata,
)


def images(seed, n=60, classes=4, k=3):
    rng = np.random.default_rng(seed)
    p, r = (softmax(rng.standard_normal((n, classes))) for _ in range(2))
    return p, r, rng.integers(classes, size=n), rng.integers(k, size=n), rng


@given(st.integers(0, 1000))
def test_the_pull_is_the_difference_of_means(seed):
    p, r, objects, members, _ = images(seed)
    found = pulls(p - r, objects, members, 3, 1)
    for cluster in range(3):
        for class_index in range(4):
            literal = literal_pull(p, r, objects, members, cluster, class_index)
            assert found[cluster, class_index] == pytest.approx(literal, abs=1e-6)


def test_too_few_images_of_other_objects_give_no_pull():
    p, r, objects, members, _ = images(0)
    objects[members == 1] = 2
    objects[np.flatnonzero(members == 1)[:3]] = 0
    found = pulls(p - r, objects, members, 3, 4)
    assert found[1, 2] == -np.inf
    assert np.isfinite(np.delete(found, 2, axis=1)).all()


def test_shuffles_exchange_images_of_one_stratum_only():
    _, _, objects, _, rng = images(1)
    stratum = strata(objects, rng.random(60))
    assert len(np.unique(stratum)) == 12  # four classes, three sizes
    orders = shuffles(stratum, np.random.default_rng(0))
    assert orders.shape == (PERMUTATIONS, 60)
    for order in orders[:50]:
        assert np.array_equal(stratum[order], stratum)
        assert np.array_equal(np.sort(order), np.arange(60))
    assert not np.array_equal(orders[0], orders[1])
    # Over all shuffles, an image is as often at each place of its stratum.
    same = np.flatnonzero(stratum == stratum[0])
    counts = np.bincount(orders[:, same[0]], minlength=60)[same]
    assert counts.min() > 0.7 * PERMUTATIONS / len(same)


def test_p_counts_the_shuffles_with_at_least_the_true_pull():
    p, r, objects, members, rng = images(2)
    orders = shuffles(strata(objects, rng.random(60)), np.random.default_rng(0))[:99]
    inside = members == 1
    found = permutation_p(inside, (p - r)[:, 3], objects != 3, orders)
    true = literal_pull(p, r, objects, members, 1, 3)
    shuffled = [literal_pull(p, r, objects, members[order], 1, 3) for order in orders]
    assert found == (1 + sum(one >= true - 1e-9 for one in shuffled)) / 100


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=12), st.floats(0.01, 0.3))
def test_q_is_the_rate_at_which_the_step_up_rule_reports(p_values, rate):
    reported = [q <= rate + 1e-12 for q in benjamini_hochberg(p_values)]
    assert reported == literal_discoveries(p_values, rate + 1e-12)


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=30))
def test_the_area_under_the_curve_counts_pairs(pairs):
    scores, positive = np.array([s for s, _ in pairs]), np.array([yes for _, yes in pairs])
    if positive.all() or not positive.any():
        assert area_under_curve(scores, positive) == 0.5
    else:
        assert area_under_curve(scores, positive) == pytest.approx(literal_auc(scores, positive))


def test_the_bootstrap_interval_is_that_of_a_difference_of_means():
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(0.5, 0.2, 100), rng.normal(0.1, 0.2, 400)
    error = 0.2 * np.sqrt(1 / 100 + 1 / 400)
    low = pull_low(inside, outside, np.random.default_rng(1))
    assert low == pytest.approx(inside.mean() - outside.mean() - 1.96 * error, abs=0.01)


def test_the_detectable_pull_is_reported_in_95_of_100_samples():
    """For images that are decided or not, the lower end is that of the normal formula."""
    rng = np.random.default_rng(0)
    for conflicts in (50, 100, 400, 2000):
        reported = []
        for part in (1, 0.5):
            share = part * detectable_pull(conflicts, 0.10, 0.05)
            pull = rng.binomial(conflicts, share, 20_000) / conflicts
            low = pull - 1.96 * np.sqrt(pull * (1 - pull) / conflicts)
            reported.append(((pull >= 0.10) & (low > 0.05)).mean())
        assert 0.93 < reported[0] < 0.99, conflicts
        assert reported[1] < 0.6, conflicts
    assert detectable_pull(20, 0.10, 0.05) > detectable_pull(200, 0.10, 0.05) > 0.10


def test_k_means_finds_clusters_that_are_apart():
    rng = np.random.default_rng(0)
    true = np.repeat(np.arange(5), 30)
    points = (10 * np.eye(8)[true] + rng.standard_normal((150, 8))).astype(np.float32)
    centres = k_means(points, 5, np.random.default_rng(0))
    members = nearest(points, centres)
    assert len({(a, b) for a, b in zip(true, members, strict=True)}) == 5
    for cluster in range(5):
        assert centres[cluster] == pytest.approx(points[members == cluster].mean(0), abs=1e-4)
