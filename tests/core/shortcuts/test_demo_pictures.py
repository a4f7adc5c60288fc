"""The finder on the demo's model and pictures with seeds that nothing was chosen by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from demo_samples import (
    ANIMALS,
    PLACES,
    PLANTED,
    class_names,
    cutouts_of,
    demo_words,
    draw,
    pairs_of,
    sample_of,
    scorer,
)

from seraser_core.shortcuts.find import find_shortcuts, places_of
from seraser_core.shortcuts.transplant import confirm

CLASSES = class_names(ANIMALS)


@pytest.fixture(scope="module")
def drawn():
    return draw(ANIMALS, PLACES, range(930_000_000, 930_000_006))


@pytest.fixture(scope="module")
def sample(drawn):
    return sample_of(drawn, ANIMALS)


@pytest.fixture(scope="module")
def words():
    return demo_words()


def test_the_model_knows_the_places_and_no_other_words(words):
    assert words.words == sorted(PLACES)
    assert words.features.shape == (6, 64)
    assert np.linalg.norm(words.features, axis=1) == pytest.approx(1, abs=1e-5)


def test_every_planted_shortcut_is_found_under_its_name(sample, words):
    found = find_shortcuts(sample, CLASSES, words)
    assert pairs_of(found) == PLANTED
    assert len(found.detectable) == 6


def test_a_transplant_confirms_them(sample, words, drawn):
    found = find_shortcuts(sample, CLASSES, words)
    places = places_of(sample, CLASSES, words)
    cutouts = cutouts_of(drawn[:72], sample)
    some = found.model_copy(update={"shortcuts": found.shortcuts[:1]})
    for one in confirm(some, places, cutouts, scorer(ANIMALS)).shortcuts:
        assert one.transplant.here.n > 40
        assert one.transplant.here.low > one.transplant.elsewhere.high, one.place


def test_nothing_is_found_where_the_place_is_no_hint(words):
    animals = ("camel", "penguin")
    drawn = draw(animals, ("forest", "meadow"), range(930_000_000, 930_000_020))
    found = find_shortcuts(sample_of(drawn, animals), class_names(animals), words)
    assert not found.shortcuts
    assert {one.words[0] for one in found.detectable} >= {"forest", "meadow"}
    assert "No shortcut found in 80 images" in found.sentence()


def test_labels_of_the_images_change_no_verdict(sample, words, drawn):
    labelled = replace(sample, labels=np.asarray([y for _, y, _, _ in drawn]))
    found = find_shortcuts(labelled, CLASSES, words)
    assert pairs_of(found) == PLANTED
    assert {one.labels.verdict for one in found.shortcuts} == {"shortcut"}
    assert not found.hard
