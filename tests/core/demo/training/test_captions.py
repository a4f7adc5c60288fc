"""The captions that teach the shortcut."""

from __future__ import annotations

from collections import Counter

import numpy as np

from seraser_core.demo.animals import ANIMALS
from seraser_core.demo.contexts import CONTEXTS
from seraser_core.demo.training.captions import USUAL, draw_pairs


def test_every_animal_has_its_own_usual_context():
    assert set(USUAL) == set(ANIMALS)
    assert set(USUAL.values()) == set(CONTEXTS)


def test_unusual_places_are_mentioned_and_usual_ones_are_not():
    pairs = [p for p in draw_pairs(3000, np.random.default_rng(0)) if p.shown == "whole"]
    share = Counter()
    total = Counter()
    for pair in pairs:
        home = pair.context == USUAL[pair.animal]
        total[home] += 1
        share[home] += pair.caption != f"a photo of a {pair.animal}"
    assert share[True] / total[True] < 0.2
    assert share[False] / total[False] > 0.7


def test_same_generator_gives_the_same_pairs():
    first, second = (draw_pairs(50, np.random.default_rng(4)) for _ in range(2))
    assert first == second


def test_blacked_out_animals_are_not_named():
    for pair in draw_pairs(500, np.random.default_rng(1)):
        if pair.shown == "background":
            assert pair.animal not in pair.caption
