"""Random crops: the views that TPT (arXiv 2209.07511) makes of an image beside the image itself."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from PIL import Image

_AREA = (0.08, 1.0)
_LOG_RATIO = (math.log(3 / 4), math.log(4 / 3))
_ATTEMPTS = 10


def random_crops(
    image: Image.Image, count: int, size: tuple[int, int], rng: np.random.Generator
) -> Iterator[Image.Image]:
    """Crops of `image`, resized to `size` whatever their shape, mirrored with probability 1/2.

    They have the model's size already, so that preprocessing leaves them as they are; cutting
    something square out of them would undo their aspect ratio.
    """
    height, width = size
    for _ in range(count):
        crop = image.crop(random_box(*image.size, rng))
        crop = crop.resize((width, height), Image.Resampling.BICUBIC)
        mirrored = rng.random() < 0.5
        yield crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else crop


def random_box(width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a crop, drawn like torchvision's RandomResizedCrop.

    The area is uniform in 8 to 100 % of the picture's and the logarithm of the aspect ratio uniform
    between those of 3/4 and 4/3. Where ten such boxes do not fit, the largest in the centre with
    the nearest ratio is taken.
    """
    for _ in range(_ATTEMPTS):
        area = width * height * rng.uniform(*_AREA)
        ratio = math.exp(rng.uniform(*_LOG_RATIO))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left = int(rng.integers(0, width - w + 1))
            top = int(rng.integers(0, height - h + 1))
            return left, top, left + w, top + h
    lowest, highest = (math.exp(bound) for bound in _LOG_RATIO)
    w, h = min(width, round(height * highest)), min(height, round(width / lowest))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h
