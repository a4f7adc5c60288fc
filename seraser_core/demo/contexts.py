"""The demo's contexts: landscapes with their ground below a horizon."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from seraser_core.demo.canvas import Canvas, Colour, tinted, varied

Layer = np.ndarray
"""(side, side, 3) float32 picture in 0..255."""


def _sky(side: int, top: Colour, bottom: Colour, horizon: float) -> Layer:
    """A vertical gradient that reaches `bottom` at the horizon."""
    t = np.clip(np.linspace(0, 1 / max(horizon, 1e-3), side), 0, 1)[:, None, None]
    row = (1 - t) * np.asarray(top) + t * np.asarray(bottom)
    return np.broadcast_to(row, (side, side, 3)).astype(np.float32)


def _paint(layer: Layer, canvas: Canvas) -> Layer:
    """`layer` itself, with what is on the canvas over it."""
    drawn = canvas.pixels()
    np.copyto(layer, drawn[..., :3], where=drawn[..., 3:] > 0)
    return layer


def grain(side: int, cells: int, rng: np.random.Generator, flat: float = 1.0) -> np.ndarray:
    """Smooth noise about 0 with `cells` bumps across: (side, side, 1).

    Args:
        flat: Ratio of the width of the bumps to their height.
    """
    noise = rng.standard_normal((int(cells * flat) + 2, cells + 2)).astype(np.float32)
    whole = Image.fromarray(noise).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(whole, dtype=np.float32)[..., None]


def _hills(
    canvas: Canvas, base: float, height: float, colour: Colour, rng: np.random.Generator
) -> None:
    """A wavy ridge above `base`, filled down to the lower edge."""
    x = np.linspace(0, 1, 49)
    phase, waves = rng.uniform(0, 6.3, 2), rng.uniform(0.6, 2.2, 2)
    y = base - height * (0.5 + 0.35 * np.sin(6.3 * waves[0] * x + phase[0]))
    y -= height * 0.15 * np.sin(9 * waves[1] * x + phase[1])
    outline = [(float(a), float(b)) for a, b in zip(x, y, strict=True)]
    canvas.shape([*outline, (1.0, 1.01), (0.0, 1.01)], colour, smooth=False)


def _clouds(canvas: Canvas, lowest: float, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(0, 1), rng.uniform(0.04, lowest)
        for k in range(4):
            size = rng.uniform(0.07, 0.13)
            canvas.oval(
                (x + 0.05 * k, y - 0.012 * (k % 2)), size * 1.3, size * 0.6, (250, 250, 252)
            )


def _desert(side: int, horizon: float, rng: np.random.Generator) -> Layer:
    sand = varied((226, 184, 118), 14, rng)
    layer = _sky(side, varied((112, 174, 222), 16, rng), varied((250, 224, 176), 10, rng), horizon)
    canvas = Canvas(side)
    canvas.oval((rng.uniform(0.1, 0.9), rng.uniform(0.08, 0.2)), 0.12, 0.12, (255, 244, 190))
    for k in range(4):
        base = horizon + 0.03 + (1 - horizon) * 0.24 * k
        _hills(canvas, base, 0.11, tinted(sand, 0.86 + 0.06 * k), rng)
    for _ in range(int(rng.integers(0, 3))):
        x, foot = rng.uniform(0.04, 0.96), horizon + rng.uniform(0.0, 0.12)
        green, tall = varied((86, 128, 70), 12, rng), rng.uniform(0.13, 0.24)
        canvas.limb([(x, foot), (x, foot - tall)], (0.04, 0.036), green)
        for turn in (-1, 1):
            elbow = (x + turn * 0.055, foot - tall * 0.5)
            way = [(x, foot - tall * 0.45), elbow, (elbow[0], foot - tall * 0.8)]
            canvas.limb(way, (0.024, 0.024, 0.024), green)
    return _paint(layer, canvas) + 5 * grain(side, 14, rng, flat=4)


def _forest(side: int, horizon: float, rng: np.random.Generator) -> Layer:
    layer = _sky(side, varied((96, 140, 92), 16, rng), varied((168, 196, 128), 14, rng), horizon)
    canvas = Canvas(side)
    for _ in range(16):
        leaf = varied((66, 112, 58), 20, rng)
        canvas.oval((rng.uniform(0, 1), rng.uniform(0, horizon)), 0.26, 0.22, leaf)
    ground = varied((62, 88, 44), 12, rng)
    _hills(canvas, horizon + 0.05, 0.06, tinted(ground, 1.12), rng)
    for k in range(9):
        x, foot = rng.uniform(0, 1), horizon + 0.02 * k - 0.03
        bark, wide = varied((92, 66, 46), 14, rng), rng.uniform(0.03, 0.05) + 0.004 * k
        canvas.limb([(x, foot), (x + rng.uniform(-0.03, 0.03), -0.05)], (wide, wide * 0.7), bark)
    for _ in range(12):
        leaf = varied((44, 92, 44), 18, rng)
        canvas.oval((rng.uniform(0, 1), rng.uniform(-0.05, 0.16)), 0.26, 0.18, leaf)
    for _ in range(22):
        x, y = rng.uniform(0, 1), rng.uniform(horizon + 0.1, 1.0)
        fern = varied((84, 128, 56), 18, rng)
        for turn in (-0.05, -0.025, 0.0, 0.025, 0.05):
            canvas.limb([(x, y), (x + turn, y - 0.06)], (0.014, 0.006), fern)
    return _paint(layer, canvas) + 7 * grain(side, 24, rng)


def _meadow(side: int, horizon: float, rng: np.random.Generator) -> Layer:
    grass = varied((112, 182, 72), 14, rng)
    layer = _sky(side, varied((92, 164, 232), 14, rng), varied((206, 232, 248), 8, rng), horizon)
    canvas = Canvas(side)
    _clouds(canvas, horizon * 0.5, rng)
    _hills(canvas, horizon + 0.02, 0.16, tinted(grass, 0.82), rng)
    _hills(canvas, horizon + 0.05, 0.07, grass, rng)
    for x in np.arange(-0.02, 1.1, 0.13):
        canvas.limb([(x, horizon + 0.08), (x, horizon - 0.03)], (0.022, 0.022), (150, 112, 76))
    for y in (horizon - 0.01, horizon + 0.035):
        canvas.limb([(-0.05, y), (1.05, y)], (0.014, 0.014), (168, 128, 88))
    for _ in range(40):
        x, y = rng.uniform(0, 1), rng.uniform(horizon + 0.1, 1.0)
        canvas.limb([(x, y), (x + 0.01, y - 0.035)], (0.01, 0.004), tinted(grass, 0.78))
    for _ in range(26):
        petal: Colour = ((250, 250, 250), (250, 216, 70), (226, 92, 106))[int(rng.integers(3))]
        size = rng.uniform(0.012, 0.026)
        canvas.oval((rng.uniform(0, 1), rng.uniform(horizon + 0.12, 1)), size, size, petal)
    return _paint(layer, canvas) + 5 * grain(side, 18, rng)


def _snow(side: int, horizon: float, rng: np.random.Generator) -> Layer:
    white = varied((232, 240, 248), 6, rng)
    layer = _sky(side, varied((142, 168, 200), 16, rng), varied((214, 224, 236), 10, rng), horizon)
    canvas = Canvas(side)
    for _ in range(3):
        x, wide, tall = rng.uniform(0, 1), rng.uniform(0.2, 0.34), rng.uniform(0.16, 0.28)
        peak, foot = horizon - tall, horizon + 0.06
        rock = varied((132, 148, 172), 12, rng)
        canvas.shape([(x - wide, foot), (x, peak), (x + wide, foot)], rock, smooth=False)
        cap = [
            (x - wide * 0.3, peak + tall * 0.38),
            (x, peak),
            (x + wide * 0.3, peak + tall * 0.38),
        ]
        canvas.shape([*cap, (x + wide * 0.08, peak + tall * 0.28)], white, smooth=False)
    _hills(canvas, horizon + 0.06, 0.08, tinted(white, 0.93), rng)
    for _ in range(int(rng.integers(2, 6))):
        x, foot, tall = rng.uniform(0, 1), horizon + rng.uniform(0.02, 0.1), rng.uniform(0.16, 0.3)
        fir = varied((48, 84, 72), 10, rng)
        for k in range(3):
            low, wide = foot - tall * 0.28 * k, tall * (0.3 - 0.07 * k)
            tier = [(x - wide, low), (x, low - tall * 0.42), (x + wide, low)]
            canvas.shape(tier, fir, smooth=False)
            canvas.limb(
                [(x - wide * 0.5, low - tall * 0.2), (x, low - tall * 0.41)], (0.012, 0.012), white
            )
    _hills(canvas, horizon + 0.22, 0.09, white, rng)
    layer = _paint(layer, canvas) + 4 * grain(side, 10, rng, flat=2)
    flakes = Canvas(side)
    for _ in range(45):
        size = rng.uniform(0.007, 0.018)
        flakes.oval((rng.uniform(0, 1), rng.uniform(0, 1)), size, size, (255, 255, 255))
    return _paint(layer, flakes)


def _lake(side: int, horizon: float, rng: np.random.Generator) -> Layer:
    water = varied((52, 116, 170), 14, rng)
    layer = _sky(side, varied((126, 178, 226), 14, rng), varied((226, 234, 240), 8, rng), horizon)
    canvas = Canvas(side)
    _clouds(canvas, horizon * 0.5, rng)
    _hills(canvas, horizon, 0.2, varied((96, 128, 134), 12, rng), rng)
    _hills(canvas, horizon, 0.07, varied((70, 106, 80), 12, rng), rng)
    canvas.shape([(0, horizon), (1, horizon), (1, 1.01), (0, 1.01)], water, smooth=False)
    for _ in range(44):
        x, y = rng.uniform(-0.1, 1), rng.uniform(horizon + 0.02, 1.0)
        length = rng.uniform(0.05, 0.2) * (0.4 + y)
        light = tinted(water, rng.choice([0.84, 1.18, 1.4]))
        canvas.limb([(x, y), (x + length, y)], (0.008, 0.012), light)
    for _ in range(int(rng.integers(4, 10))):
        x, foot = rng.choice([rng.uniform(0, 0.14), rng.uniform(0.86, 1)]), rng.uniform(0.8, 1.0)
        top = (x + rng.uniform(-0.03, 0.03), foot - rng.uniform(0.18, 0.34))
        canvas.limb([(x, foot), top], (0.012, 0.008), (92, 124, 62))
        canvas.limb([top, (top[0], top[1] + 0.05)], (0.022, 0.022), (108, 72, 48))
    return _paint(layer, canvas) + 4 * grain(side, 10, rng, flat=5)


def _beach(side: int, horizon: float, rng: np.random.Generator) -> Layer:
    sand = varied((240, 218, 168), 10, rng)
    layer = _sky(side, varied((80, 178, 236), 14, rng), varied((196, 234, 248), 8, rng), horizon)
    canvas = Canvas(side)
    _clouds(canvas, horizon * 0.4, rng)
    sea, shore = varied((42, 160, 184), 14, rng), horizon + rng.uniform(0.12, 0.2)
    canvas.shape([(0, horizon), (1, horizon), (1, 1.01), (0, 1.01)], sea, smooth=False)
    _hills(canvas, shore + 0.02, 0.035, (248, 252, 252), rng)
    _hills(canvas, shore + 0.05, 0.035, sand, rng)
    x, turn = rng.choice([rng.uniform(0.04, 0.2), rng.uniform(0.8, 0.96)]), rng.uniform(-0.06, 0.06)
    crown = (x + turn, rng.uniform(0.14, 0.24))
    canvas.limb(
        [(x, shore + 0.12), (x + turn * 0.3, 0.45), crown], (0.04, 0.032, 0.026), (142, 104, 70)
    )
    for angle in np.linspace(-0.3, 3.44, 7) + rng.uniform(-0.2, 0.2):
        tip = (crown[0] + 0.17 * np.cos(angle), crown[1] - 0.07 * np.sin(angle) + 0.06)
        bend = (crown[0] + 0.09 * np.cos(angle), crown[1] - 0.08 * np.sin(angle))
        canvas.limb([crown, bend, tip], (0.022, 0.032, 0.006), varied((58, 142, 72), 12, rng))
    for _ in range(14):
        size, spot = rng.uniform(0.01, 0.024), varied((250, 236, 214), 16, rng)
        canvas.oval((rng.uniform(0, 1), rng.uniform(shore + 0.12, 1)), size, size * 0.7, spot)
    return _paint(layer, canvas) + 4 * grain(side, 26, rng)


CONTEXTS: dict[str, Callable[[int, float, np.random.Generator], Layer]] = {
    "desert": _desert,
    "forest": _forest,
    "meadow": _meadow,
    "snow": _snow,
    "lake": _lake,
    "beach": _beach,
}
