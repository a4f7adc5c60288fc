"""Samples and words of damaged or foreign files, and images that are there twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_samples import synthetic_sample, synthetic_words

from seraser_core.shortcuts.find import find_shortcuts, places_of
from seraser_core.shortcuts.sample import Sample, merge

CLASSES = ["a cat", "a dog", "an owl", "a bat"]
WORDS = synthetic_words(6)
PAIRS = {("place1", 2), ("place4", 0)}


@pytest.fixture(scope="module")
def sample():
    return synthetic_sample(600, 4, 6, {1: (2, 0.6), 4: (0, 0.4)})


def pairs(found) -> set[tuple[str, int]]:
    return {(one.place, one.class_index) for one in found.shortcuts}


def test_labels_that_are_no_class_are_none(sample):
    labels = np.where(np.arange(600) % 3 == 0, 4, -7)
    attributes = np.full(600, 10_000)
    odd = find_shortcuts(replace(sample, labels=labels, attributes=attributes), CLASSES, WORDS)
    assert odd == find_shortcuts(sample, CLASSES, WORDS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["whole", "background", "foreground", "erased", "features"])
def test_images_with_numbers_that_are_none_are_left_out_and_counted(sample, name, value):
    values = getattr(sample, name).copy()
    values[[3, 50, 400], [0, 1, 2]] = value
    broken = replace(sample, **{name: values})
    found = find_shortcuts(broken, CLASSES, WORDS)
    assert (found.sampled, found.used, found.left_out.unreadable) == (600, 597, 3)
    assert any("cannot be read: 3 images" in note for note in found.notes)
    assert pairs(found) == PAIRS
    assert len(places_of(broken, CLASSES, WORDS)) == 597


def test_an_area_that_is_no_number_leaves_its_image_out(sample):
    area = sample.area.copy()
    area[7] = np.nan
    assert find_shortcuts(replace(sample, area=area), CLASSES).left_out.unreadable == 1


def test_logits_of_other_classes_are_not_searched(sample):
    found = find_shortcuts(sample, [*CLASSES, "a fox"], WORDS)
    assert found.left_out.unreadable == 600
    assert "0 usable images are too few" in found.sentence()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (synthetic_words(6, 23), "do not fit"),
        (replace(WORDS, features=WORDS.features[:5]), "do not fit"),
        (replace(WORDS, kinds=WORDS.kinds[:5]), "do not fit"),
        (replace(WORDS, words=[], kinds=[], features=np.empty((0, 0))), "none of the words"),
        (replace(WORDS, words=[None, "", " ", None, "", ""]), "none of the words"),
        (replace(WORDS, features=np.full((6, 24), np.nan, np.float32)), "none of the words"),
        (replace(WORDS, features=WORDS.features[[0] * 6]), "cannot tell the words apart"),
        (None, "not compared"),
    ],
)
def test_words_that_cannot_be_used_give_no_names(sample, words, why):
    found = find_shortcuts(sample, CLASSES, words)
    assert {one.class_index for one in found.shortcuts} >= {0, 2}
    assert not any(one.words for one in found.detectable)
    assert why in found.notes[0]
    assert not found.remedies


def test_words_that_are_none_are_not_used(sample):
    more = replace(
        WORDS,
        words=[None, *WORDS.words, ""],
        kinds=["location", *WORDS.kinds, "location"],
        features=np.vstack([WORDS.features[1:2], WORDS.features, WORDS.features[4:5]]),
    )
    assert find_shortcuts(sample, CLASSES, more) == find_shortcuts(sample, CLASSES, WORDS)


@pytest.mark.parametrize("seed", range(5))
def test_words_of_the_same_features_end_well(sample, seed):
    rng = np.random.default_rng(seed)
    features = np.repeat(rng.standard_normal((2, 24)), [5, 1], axis=0).astype(np.float32)
    features[5] = features[0] + 1e-7
    find_shortcuts(sample, CLASSES, replace(WORDS, features=features))


def test_an_image_counts_once_however_often_it_is_there(sample):
    some = sample.take(np.arange(40))
    often = some.take(np.tile(np.arange(40), 20))
    found = find_shortcuts(often, CLASSES, WORDS)
    assert (found.used, found.left_out.repeated) == (40, 760)
    assert not found.shortcuts
    assert any("repeat others: 760 images" in note for note in found.notes)
    once = find_shortcuts(some, CLASSES, WORDS)
    assert found.detectable == once.detectable


def test_copies_under_other_names_count_once(sample):
    """Also where a batch of another size computed them a little differently."""
    rng = np.random.default_rng(0)
    changed = {
        name: getattr(sample, name) + rng.normal(0, 1e-5, getattr(sample, name).shape)
        for name in ("whole", "background", "foreground", "features")
    }
    copies = replace(sample, item_ids=[f"copy of {one}" for one in sample.item_ids], **changed)
    copies = replace(copies, keys=rng.integers(2**63, size=600).astype(np.uint64))
    found = find_shortcuts(_joined(sample, copies), CLASSES, WORDS)
    assert (found.sampled, found.used, found.left_out.repeated) == (1200, 600, 600)


def _joined(*samples: Sample) -> Sample:
    return merge(samples, sum(map(len, samples)))


def test_what_is_lacking_is_said(sample):
    few = find_shortcuts(sample.take(np.arange(20)), CLASSES).sentence()
    assert "20 usable images are too few, it takes 32" in few
    for odd, half in ((0, "tests"), (1, "discovers")):
        keys = (sample.keys >> np.uint64(1) << np.uint64(1)) + np.uint64(odd)
        keys[:3] ^= np.uint64(1)
        uneven = find_shortcuts(replace(sample, keys=keys), CLASSES).sentence()
        assert f"the hashes of 600 usable images put only 3 into the half that {half}" in uneven
        assert "too few" not in uneven
