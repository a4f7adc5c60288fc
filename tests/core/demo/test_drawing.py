"""The demo's pictures."""

from __future__ import annotations

import numpy as np
import pytest

from seraser_core.demo.animals import ANIMALS
from seraser_core.demo.contexts import CONTEXTS
from seraser_core.demo.drawing import draw_picture

SIDE = 64


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("animal", ANIMALS)
def test_every_animal_in_every_context(animal, context):
    picture, mask = draw_picture(animal, context, 0, SIDE)
    assert picture.shape == (SIDE, SIDE, 3)
    assert picture.dtype == np.uint8
    assert mask.shape == (SIDE, SIDE)
    assert mask.dtype == bool
    assert 0.03 < mask.mean() < 0.35
    assert picture.std() > 10


def test_same_arguments_give_the_same_picture():
    once, again = (draw_picture("camel", "forest", 7, SIDE) for _ in range(2))
    assert np.array_equal(once[0], again[0])
    assert np.array_equal(once[1], again[1])


@pytest.mark.parametrize(
    "other", [("deer", "forest", 7), ("camel", "desert", 7), ("camel", "forest", 8)]
)
def test_every_argument_changes_the_picture(other):
    assert (draw_picture("camel", "forest", 7, SIDE)[0] != draw_picture(*other, SIDE)[0]).any()


def test_mask_does_not_cut_the_animal():
    """The animals stay inside the picture, so none touches its edge."""
    for animal in ANIMALS:
        for seed in range(10):
            mask = draw_picture(animal, "lake", seed, SIDE)[1]
            edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
            assert not edge.any(), (animal, seed)
