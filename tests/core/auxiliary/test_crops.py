"""Random crops: drawn like torchvision's RandomResizedCrop, in the model's size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.functional import InterpolationMode, hflip, resized_crop

from seraser_core.auxiliary import Picture, make_view
from seraser_core.auxiliary.crops import random_box, random_crops
from seraser_core.kinds import crops_view

SIZE = (32, 24)


@pytest.fixture
def image() -> Image.Image:
    pixels = np.random.default_rng(5).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def shapes(boxes) -> np.ndarray:
    """Area, logarithm of the aspect ratio, and centre of boxes, (N, 4)."""
    left, top, right, bottom = np.array(boxes, dtype=float).T
    w, h = right - left, bottom - top
    return np.stack([w * h, np.log(w / h), left + w / 2, top + h / 2], axis=1)


@pytest.mark.parametrize(("width", "height"), [(200, 200), (320, 180), (150, 700)])
def test_boxes_are_distributed_like_those_of_torchvision(width, height):
    """Quantiles of 4000 boxes each; the last size often needs the box in the centre."""
    rng = np.random.default_rng(0)
    ours = shapes([random_box(width, height, rng) for _ in range(4000)])
    picture = torch.empty(3, height, width)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = [
            RandomResizedCrop.get_params(picture, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)
        ]
    theirs = shapes([(j, i, j + w, i + h) for i, j, h, w in found])
    at = [0.05, 0.25, 0.5, 0.75, 0.95]
    span = np.ptp(theirs, axis=0)
    assert (np.abs(np.quantile(ours, at, 0) - np.quantile(theirs, at, 0)) <= 0.03 * span).all()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 500), (500, 1), (2, 900), (900, 7)])
def test_boxes_of_narrow_pictures_lie_within_them(width, height):
    rng = np.random.default_rng(0)
    for _ in range(50):
        left, top, right, bottom = random_box(width, height, rng)
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height


def test_a_crop_is_the_resized_box_mirrored_or_not(image):
    crops = list(random_crops(image, 40, SIZE, np.random.default_rng(3)))
    rng, mirrored = np.random.default_rng(3), 0
    for crop in crops:
        left, top, right, bottom = random_box(*image.size, rng)
        place = (top, left, bottom - top, right - left)
        expected = resized_crop(image, *place, list(SIZE), InterpolationMode.BICUBIC)
        if rng.random() < 0.5:
            expected, mirrored = hflip(expected), mirrored + 1
        assert np.array_equal(crop, expected)
    assert 10 <= mirrored <= 30


def test_fewer_crops_are_the_first_of_more(image):
    few = list(make_view(crops_view(3, SIZE), Picture(image), 0, "x"))
    more = list(make_view(crops_view(9, SIZE), Picture(image), 0, "x"))
    assert [crop.tobytes() for crop in few] == [crop.tobytes() for crop in more[:3]]
    assert len({crop.tobytes() for crop in more}) == 9


def test_preprocessing_leaves_crops_as_they_are(tiny_model, image):
    height, width = tiny_model.preprocessing.size
    for crop in make_view(crops_view(5, (height, width)), Picture(image), 0, "x"):
        pixels = tiny_model.preprocessing.resize(crop)
        assert np.array_equal(pixels.permute(1, 2, 0).numpy(), np.asarray(crop))
