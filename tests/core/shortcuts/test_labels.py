"""Labels of some images: what they may say of a shortcut, and what not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_samples import synthetic_sample, synthetic_words

from seraser_core.shortcuts.find import find_shortcuts
from seraser_core.shortcuts.labels import Labelled

CLASSES = ["a cat", "a dog", "an owl", "a bat"]
WORDS = synthetic_words(6)
PLANTED = {1: (2, 0.5), 4: (0, 0.3)}
PAIRS = {("place1", 2), ("place4", 0)}


@pytest.fixture(scope="module")
def sample():
    return synthetic_sample(800, 4, 6, PLANTED, labelled=True)


def find(sample, labelled: np.ndarray):
    found = find_shortcuts(
        replace(sample, labels=np.where(labelled, sample.labels, -1)), CLASSES, WORDS
    )
    return {(one.place, one.class_index): one for one in found.shortcuts}, found


@pytest.mark.parametrize("few", [1, 5, 10, 30])
def test_a_handful_of_labels_hides_no_shortcut(sample, few):
    shortcuts, found = find(sample, np.arange(800) < few)
    assert set(shortcuts) == PAIRS
    assert not found.hard
    assert {one.labels and one.labels.verdict for one in shortcuts.values()} <= {None, "shortcut"}


@pytest.mark.parametrize("only", range(4))
def test_labels_of_one_class_hide_no_shortcut(sample, only):
    shortcuts, found = find(sample, sample.labels == only)
    assert set(shortcuts) == PAIRS
    assert not found.hard
    for (_, class_index), one in shortcuts.items():
        assert (one.labels is None) == (class_index == only)  # no other class, no false positives


def labelled(own: tuple[int, int], others: tuple[int, int], n: int = 100) -> Labelled:
    """n images of class 0 and of others, inside and outside; so many of each are predicted as 0."""
    hits = [*own, *others]
    return Labelled(
        labels=np.repeat([0, 0, 1, 1], n),
        predicted=np.concatenate([np.arange(n) >= hit for hit in hits]).astype(int),
        members=np.repeat([0, 1, 0, 1], n),
    )


@pytest.mark.parametrize(
    ("own", "others", "n", "verdict"),
    [
        ((90, 90), (50, 2), 100, "shortcut"),
        ((95, 60), (50, 2), 100, "shortcut"),
        ((50, 90), (2, 2), 100, "merely hard"),
        ((90, 90), (2, 2), 100, "neither"),
        ((5, 15), (1, 1), 20, None),  # one of 20 leaves open whether it draws a tenth
        ((5, 15), (0, 0), 19, None),
        ((50, 90), (50, 2), 100, None),  # harder, and draws others all the same
    ],
)
def test_a_verdict_takes_evidence(own, others, n, verdict):
    split = labelled(own, others, n).split(0, 0)
    assert (split and split.verdict) == verdict
    if split:
        assert (split.tpr_inside.hits, split.tpr_outside.hits) == own
        assert (split.fpr_inside.hits, split.fpr_outside.hits) == others


def test_a_place_is_hard_only_with_images_in_every_cell():
    few = labelled((50, 90), (2, 2))
    assert [one[:2] for one in few.hard([0, 1])] == [(0, 0)]
    no_others = replace(few, labels=np.where(few.members == 0, 0, few.labels))
    assert not no_others.hard([0, 1])


def test_labels_that_refute_a_pull_leave_it_out_and_say_so(sample):
    """Elsewhere, objects alone are taken for owls, so whole images of place 1 seem to gain."""
    plain = synthetic_sample(1200, 4, 6, {}, labelled=True)
    foreground = plain.foreground.copy()
    wrong = (plain.attributes == 1) & (plain.labels != 2)
    foreground[~wrong & (plain.keys % 8 >= 4), 2] += 30
    foreground[wrong, 2] -= 30
    found = find_shortcuts(replace(plain, foreground=foreground), CLASSES, WORDS)
    assert not found.shortcuts
    assert not [one for one in found.hard if one.class_index == 2]
    assert any("labels show" in note and "“place1” to “an owl”" in note for note in found.notes)
