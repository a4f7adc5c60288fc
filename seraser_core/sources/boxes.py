"""Foreground boxes, however they are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from seraser_core.errors import ItemError

BoxFormat = Literal["xyxy", "xywh", "fractions"]
_DIGITS = 6
"""Decimal places of a pixel; a fraction times a width is off by less."""


def in_pixels(
    box: Sequence[float], form: BoxFormat, size: tuple[int, int], scale: float = 1.0
) -> list[float]:
    """A box as x0, y0, x1, y1 in pixels.

    Args:
        box: The box as the data set has it.
        form: See the option ``dataset.box_format``.
        size: (width, height) of the image, which may be a reduced one.
        scale: Its size as a fraction of the full image, to which the box refers.
    """
    a, b, c, d = box
    if form == "fractions":
        sides = zip((a, b, c, d), (*size, *size), strict=True)
        return [round(part * side, _DIGITS) for part, side in sides]
    corners = (a, b, a + c, b + d) if form == "xywh" else (a, b, c, d)
    return [scale * side for side in corners]


def box_mask(box: Sequence[float], size: tuple[int, int]) -> np.ndarray:
    """True inside the box x0, y0, x1, y1 (pixels), whose edges are rounded outwards.

    Args:
        box: The box, x1 and y1 exclusive.
        size: (width, height) of the image.

    Returns:
        (height, width) bool.

    Raises:
        ItemError: The box is empty or lies outside the image.
    """
    width, height = size
    if not np.isfinite(box).all():
        raise ItemError("validate", "bad_box", f"box {list(box)} is not finite")
    x0, y0 = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
    x1, y1 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    if x1 <= x0 or y1 <= y0:
        raise ItemError(
            "validate", "bad_box", f"box {list(box)} has no pixel in {width} x {height}"
        )
    inside = np.zeros((height, width), dtype=bool)
    inside[y0:y1, x0:x1] = True
    return inside
