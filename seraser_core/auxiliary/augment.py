"""RandAugment as SEraser uses it: n geometric operations, then always a cutout."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

_ROTATION_DEGREES = 30.0
_SHEAR = 0.3
_TRANSLATION = 0.3
_CUTOUT_SIDE = 0.5
_CUTOUT_COLOUR = (125, 123, 114)
_OPERATIONS = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")


def random_augment(image: Image.Image, operations: int, rng: np.random.Generator) -> Image.Image:
    """A distorted copy of `image`, of the same size.

    Draws `operations` of rotation, shear and translation with replacement, each with a uniform
    magnitude (rotation within 30 degrees, shear within 0.3, translation within 0.3 of the side;
    uncovered pixels are black), then a square cutout of side U(0, 0.5) x width at a uniform centre.
    """
    for name in rng.choice(_OPERATIONS, size=operations):
        image = _transform(image, str(name), float(rng.uniform(-1, 1)))
    return _cutout(image, rng)


def _transform(image: Image.Image, name: str, strength: float) -> Image.Image:
    if name == "rotate":
        return image.rotate(strength * _ROTATION_DEGREES)
    shear, shift = strength * _SHEAR, strength * _TRANSLATION
    matrix = {
        "shear_x": (1, shear, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, shear, 1, 0),
        "translate_x": (1, 0, shift * image.width, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, shift * image.height),
    }[name]
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


def _cutout(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    side = rng.uniform(0, _CUTOUT_SIDE) * image.width
    x, y = rng.uniform(0, image.width), rng.uniform(0, image.height)
    left, top = max(0, int(x - side / 2)), max(0, int(y - side / 2))
    right = min(image.width, int(left + side)) - 1
    bottom = min(image.height, int(top + side)) - 1
    image = image.copy()
    if right >= left and bottom >= top:
        ImageDraw.Draw(image).rectangle((left, top, right, bottom), fill=_CUTOUT_COLOUR)
    return image
