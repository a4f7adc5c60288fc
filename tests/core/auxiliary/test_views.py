"""Auxiliary views: what they hide, what they keep, and what their randomness depends on."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from seraser_core.auxiliary import Picture, make_view
from seraser_core.kinds import (
    AUGMENTED_BACKGROUND,
    AUGMENTED_IMAGE,
    IMAGE,
    KINDS,
    NOISY_IMAGE,
    RELEVANCE,
    crops_view,
)

VIEWS = {
    view.name: view
    for kind in KINDS.values()
    for view in (IMAGE, *kind.spurious, kind.foreground, crops_view(7, (32, 24)))
    if view.region != RELEVANCE
}


@pytest.fixture
def picture() -> Picture:
    rng = np.random.default_rng(5)
    pixels = rng.integers(1, 256, (40, 60, 3), dtype=np.uint8)
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:30, 20:50] = True
    box = np.zeros((40, 60), dtype=bool)
    box[5:35, 15:55] = True
    return Picture(Image.fromarray(pixels), mask, box, segment=box & mask)


@pytest.mark.parametrize("region", ["mask", "box", "segment"])
def test_background_and_foreground_are_complements(picture, region):
    pixels = np.asarray(picture.image)
    inside = getattr(picture, region)
    (background,) = make_view(VIEWS[f"{region}_background"], picture, 0, "x")
    (foreground,) = make_view(VIEWS[f"{region}_foreground"], picture, 0, "x")
    assert (np.asarray(background)[inside] == 0).all()
    assert (np.asarray(foreground)[~inside] == 0).all()
    assert np.array_equal(np.asarray(background) + np.asarray(foreground), pixels)


def test_noise_has_the_stated_size():
    grey = Picture(Image.new("RGB", (200, 200), (128, 128, 128)))
    (noisy,) = make_view(NOISY_IMAGE, grey, 0, "x")
    difference = (np.asarray(noisy, dtype=np.float64) - 128) / 255
    assert abs(difference.std() - 0.1) < 0.002
    assert abs(difference.mean()) < 0.002


@pytest.mark.parametrize("view", [AUGMENTED_IMAGE, AUGMENTED_BACKGROUND])
def test_copies_are_fifteen_different_pictures_of_the_same_size(picture, view):
    copies = list(make_view(view, picture, 0, "x"))
    assert len(copies) == 15
    assert {c.size for c in copies} == {picture.image.size}
    assert len({c.tobytes() for c in copies}) == 15


def test_every_copy_has_a_cutout_of_at_most_half_the_width():
    white = Picture(Image.new("RGB", (100, 80), "white"))
    sides = []
    for seed in range(40):
        for copy in make_view(AUGMENTED_IMAGE, white, seed, "x"):
            hole = (np.asarray(copy) == (125, 123, 114)).all(-1)
            rows, columns = np.nonzero(hole)
            if len(rows):
                sides.append(max(np.ptp(rows), np.ptp(columns)) + 1)
    assert len(sides) > 0.9 * 40 * 15
    assert max(sides) <= 51
    assert max(sides) > 45


def test_noise_in_strips_is_the_noise_of_the_whole(picture):
    """Of 200 rows: the same numbers as drawn in one piece."""
    tall = Picture(Image.new("RGB", (30, 200), (90, 128, 166)))
    (noisy,) = make_view(NOISY_IMAGE, tall, 3, "x")
    digest = hashlib.sha256(b"3\x00noisy_image\x00x").digest()
    rng = np.random.default_rng(int.from_bytes(digest[:16], "big"))
    whole = np.asarray(tall.image) / 255 + 0.1 * rng.standard_normal((200, 30, 3), np.float32)
    off = np.abs(np.asarray(noisy) - np.clip(whole, 0, 1) * 255)
    assert off.max() <= 0.51


@pytest.mark.parametrize("name", VIEWS)
def test_the_number_of_pictures_is_known_before_they_are_made(picture, name):
    assert VIEWS[name].count == len(list(make_view(VIEWS[name], picture, 0, "x")))


@pytest.mark.parametrize("name", VIEWS)
def test_randomness_depends_on_seed_and_item_alone(picture, name):
    def content(seed, item):
        return [v.tobytes() for v in make_view(VIEWS[name], picture, seed, item)]

    first = content(0, "a")
    np.random.default_rng().random(10)
    assert content(0, "a") == first
    random = name.startswith(("augmented", "noisy", "random"))
    assert (content(1, "a") != first) == random
    assert (content(0, "b") != first) == random


def test_sizes_of_the_auxiliary_sets(picture):
    """With the black image: 2 for masks, 17 with 15 copies."""
    sizes = {name: 1 + sum(view.count for view in kind.spurious) for name, kind in KINDS.items()}
    assert sizes == {
        "mask": 2,
        "box": 2,
        "segment": 2,
        "relevance": 2,
        "mask+augment": 17,
        "augment": 17,
        "noise": 2,
        "black": 1,
    }
