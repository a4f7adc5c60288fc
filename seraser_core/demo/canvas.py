"""A small drawing surface whose coordinates do not depend on the picture's size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]
Colour = tuple[float, float, float]


class Canvas:
    """Draws into a square of side 1, y downwards, optionally moved, scaled and mirrored.

    Attributes:
        image: RGBA picture of `side` pixels; its alpha is what was drawn on.
    """

    def __init__(self, side: int) -> None:
        self.image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self.image)
        self._side = side
        self._origin = (0.0, 0.0)
        self._scale = 1.0
        self._mirrored = False

    def place(self, left: float, top: float, scale: float, mirrored: bool) -> None:
        """Put the unit square of later shapes at (left, top) with side `scale`."""
        self._origin, self._scale, self._mirrored = (left, top), scale, mirrored

    def shape(self, points: Sequence[Point], colour: Colour, smooth: bool = True) -> None:
        """A filled outline through `points`, a closed curve unless `smooth` is False."""
        outline = _closed_curve(points) if smooth else np.asarray(points, dtype=float)
        self._draw.polygon([tuple(p) for p in self._pixels(outline)], fill=_fill(colour))

    def limb(self, points: Sequence[Point], widths: Sequence[float], colour: Colour) -> None:
        """A rounded stroke through `points` whose width changes from point to point."""
        way = self._pixels(np.asarray(points, dtype=float))
        radii = np.asarray(widths, dtype=float) * self._scale * self._side / 2
        fill = _fill(colour)
        for (a, b), (r, s) in zip(pairwise(way), pairwise(radii), strict=True):
            along = b - a
            across = np.array([-along[1], along[0]]) / max(1e-6, float(np.hypot(*along)))
            corners = (a + across * r, b + across * s, b - across * s, a - across * r)
            self._draw.polygon([tuple(c) for c in corners], fill=fill)
        for (x, y), r in zip(way, radii, strict=True):
            self._draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)

    def oval(self, centre: Point, width: float, height: float, colour: Colour) -> None:
        """A filled ellipse with horizontal and vertical axes."""
        x, y = self._pixels(np.asarray([centre], dtype=float))[0]
        rx, ry = width * self._scale * self._side / 2, height * self._scale * self._side / 2
        self._draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=_fill(colour))

    def pixels(self) -> np.ndarray:
        """(side, side, 4) uint8; the last is 255 where something was drawn and 0 elsewhere."""
        return np.asarray(self.image)

    def _pixels(self, points: np.ndarray) -> np.ndarray:
        points = points.copy()
        if self._mirrored:
            points[:, 0] = 1 - points[:, 0]
        return (np.asarray(self._origin) + points * self._scale) * self._side


def _fill(colour: Colour) -> tuple[int, int, int, int]:
    red, green, blue = (min(255, max(0, round(c))) for c in colour)  # np.clip takes far longer
    return red, green, blue, 255


def _closed_curve(points: Sequence[Point]) -> np.ndarray:
    """A closed Catmull-Rom curve through `points`: (8 * len(points), 2)."""
    p1 = np.asarray(points, dtype=float)
    p0, p2, p3 = np.roll(p1, 1, 0), np.roll(p1, -1, 0), np.roll(p1, -2, 0)
    t = np.linspace(0, 1, 8, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (p[:, None, :] for p in (p0, p1, p2, p3))
    curve = 0.5 * (
        2 * p1
        + (p2 - p0) * t
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    return curve.reshape(-1, 2)


def tinted(colour: Colour, factor: float) -> Colour:
    """`colour` made darker (factor < 1) or lighter."""
    red, green, blue = colour
    return red * factor, green * factor, blue * factor


def varied(colour: Colour, amount: float, rng: np.random.Generator) -> Colour:
    """`colour` with each channel and the brightness moved by up to `amount` (of 255)."""
    bright = rng.uniform(-amount, amount)
    red, green, blue = (c + bright + rng.uniform(-amount, amount) / 3 for c in colour)
    return red, green, blue
