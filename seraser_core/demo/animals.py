"""The demo's animals, seen from the side, looking right; feet at y = 1 of the unit square."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from seraser_core.demo.canvas import Canvas, Colour, Point, tinted, varied

_DARK: Colour = (30, 25, 25)


def _legs(
    canvas: Canvas,
    hips: tuple[float, ...],
    top: float,
    width: float,
    colour: Colour,
    rng: np.random.Generator,
    hoof: Colour = _DARK,
) -> None:
    """Four legs in a random stride; the two far ones are darker."""
    stride = rng.uniform(-0.05, 0.05)
    for i, hip in enumerate(hips):
        far = i % 2 == 0
        shade = tinted(colour, 0.72 if far else 0.95)
        foot = hip + (stride if far else -stride)
        knee = ((hip + foot) / 2 + 0.012, (top + 1) / 2 + 0.02)
        widths = (width * 1.5, width * 0.9, width * 0.8)
        canvas.limb([(hip, top), knee, (foot, 0.97)], widths, shade)
        canvas.limb([(foot - 0.005, 0.98), (foot + 0.02, 0.98)], (width, width), hoof)


def _camel(canvas: Canvas, rng: np.random.Generator) -> None:
    fur = varied((196, 150, 96), 22, rng)
    dark = tinted(fur, 0.72)
    hump = rng.uniform(0.13, 0.2)
    head = rng.uniform(-0.03, 0.04)
    canvas.limb([(0.13, 0.5), (0.08, 0.6), (0.08, 0.7)], (0.03, 0.02, 0.035), dark)
    _legs(canvas, (0.24, 0.2, 0.6, 0.56), 0.62, 0.05, fur, rng, dark)
    throat: list[Point] = [(0.6, 0.55), (0.72, 0.63), (0.8, 0.52), (0.84, 0.26 + head)]
    canvas.limb(throat, (0.2, 0.14, 0.1, 0.08), fur)
    canvas.shape(
        [
            (0.11, 0.52), (0.16, 0.41), (0.24, 0.37), (0.31, 0.38 - hump), (0.39, 0.37),
            (0.43, 0.39), (0.48, 0.36), (0.54, 0.38 - hump), (0.61, 0.38), (0.68, 0.46),
            (0.69, 0.58), (0.58, 0.68), (0.38, 0.69), (0.18, 0.66),
        ],
        fur,
    )  # fmt: skip
    for x in (0.31, 0.54):
        canvas.oval((x, 0.36 - hump * 0.75), 0.07, 0.08, dark)
    canvas.shape(
        [
            (0.79, 0.24 + head), (0.83, 0.17 + head), (0.91, 0.19 + head), (0.98, 0.24 + head),
            (0.98, 0.29 + head), (0.9, 0.31 + head), (0.82, 0.31 + head),
        ],
        fur,
    )  # fmt: skip
    canvas.oval((0.81, 0.17 + head), 0.035, 0.06, dark)
    canvas.oval((0.88, 0.225 + head), 0.022, 0.026, _DARK)
    canvas.limb([(0.93, 0.285 + head), (0.975, 0.275 + head)], (0.01, 0.01), _DARK)


def _deer(canvas: Canvas, rng: np.random.Generator) -> None:
    fur = varied((158, 98, 56), 22, rng)
    pale: Colour = (236, 220, 196)
    horn = varied((214, 192, 152), 12, rng)
    head = rng.uniform(-0.02, 0.04)
    spread = rng.uniform(0.85, 1.15)
    _legs(canvas, (0.25, 0.2, 0.58, 0.54), 0.6, 0.036, fur, rng)
    for side, shade in ((0.04, tinted(horn, 0.75)), (-0.02, horn)):
        root = 0.73 + side
        beam: list[Point] = [
            (root, 0.27 + head), (root - 0.05 * spread, 0.17 + head),
            (root - 0.02, 0.08 + head), (root + 0.05 * spread, 0.0 + head),
        ]  # fmt: skip
        canvas.limb(beam, (0.028, 0.026, 0.022, 0.014), shade)
        canvas.limb([beam[1], (root + 0.06, 0.12 + head)], (0.02, 0.012), shade)
        canvas.limb([beam[1], (root - 0.13 * spread, 0.07 + head)], (0.022, 0.012), shade)
        canvas.limb([beam[2], (root - 0.07 * spread, 0.01 + head)], (0.02, 0.012), shade)
    canvas.limb([(0.58, 0.52), (0.67, 0.42), (0.74, 0.31 + head)], (0.19, 0.12, 0.085), fur)
    canvas.shape(
        [
            (0.13, 0.5), (0.18, 0.43), (0.3, 0.42), (0.48, 0.44), (0.6, 0.43), (0.66, 0.5),
            (0.63, 0.6), (0.5, 0.64), (0.34, 0.62), (0.2, 0.65), (0.14, 0.59),
        ],
        fur,
    )  # fmt: skip
    canvas.limb([(0.33, 0.61), (0.5, 0.625)], (0.03, 0.04), pale)
    canvas.oval((0.135, 0.49), 0.06, 0.09, pale)
    for _ in range(int(rng.integers(0, 9))):
        canvas.oval((rng.uniform(0.2, 0.56), rng.uniform(0.45, 0.54)), 0.022, 0.02, pale)
    canvas.limb([(0.7, 0.27 + head), (0.64, 0.23 + head)], (0.05, 0.02), tinted(fur, 0.8))
    canvas.shape(
        [
            (0.7, 0.29 + head), (0.75, 0.235 + head), (0.83, 0.27 + head), (0.9, 0.325 + head),
            (0.89, 0.36 + head), (0.8, 0.365 + head), (0.72, 0.36 + head),
        ],
        fur,
    )  # fmt: skip
    canvas.oval((0.89, 0.34 + head), 0.035, 0.035, _DARK)
    canvas.oval((0.79, 0.285 + head), 0.022, 0.026, _DARK)


def _cow(canvas: Canvas, rng: np.random.Generator) -> None:
    hide = varied((232, 228, 222), 14, rng)
    patch = _DARK if rng.random() < 0.6 else varied((120, 70, 45), 15, rng)
    pink: Colour = (230, 160, 155)
    canvas.limb([(0.1, 0.4), (0.05, 0.5), (0.06, 0.68)], (0.03, 0.02, 0.05), patch)
    _legs(canvas, (0.23, 0.17, 0.63, 0.57), 0.68, 0.065, hide, rng)
    canvas.oval((0.27, 0.74), 0.12, 0.1, pink)
    canvas.shape(
        [
            (0.09, 0.45), (0.13, 0.36), (0.3, 0.36), (0.55, 0.37), (0.7, 0.34), (0.74, 0.45),
            (0.7, 0.64), (0.6, 0.74), (0.4, 0.75), (0.2, 0.72), (0.1, 0.64),
        ],
        hide,
    )  # fmt: skip
    for x in (0.22, 0.42, 0.6):
        centre = np.array([x + rng.uniform(-0.04, 0.04), rng.uniform(0.46, 0.58)])
        angles = np.arange(7) / 7 * 2 * np.pi
        radii = rng.uniform(0.045, 0.095, 7)[:, None]
        ring = centre + radii * np.stack([np.cos(angles), np.sin(angles)], 1)
        canvas.shape([(float(a), float(b)) for a, b in ring], patch)
    canvas.limb([(0.68, 0.45), (0.79, 0.38)], (0.24, 0.17), hide)
    canvas.limb([(0.78, 0.28), (0.75, 0.2)], (0.035, 0.015), (225, 210, 170))
    canvas.limb([(0.85, 0.28), (0.89, 0.2)], (0.035, 0.015), (225, 210, 170))
    canvas.limb([(0.76, 0.31), (0.68, 0.33)], (0.06, 0.03), patch)
    canvas.shape(
        [(0.74, 0.28), (0.87, 0.27), (0.93, 0.42), (0.95, 0.5), (0.86, 0.53), (0.76, 0.42)], hide
    )
    canvas.shape([(0.87, 0.44), (0.95, 0.43), (0.96, 0.51), (0.88, 0.54)], pink)
    canvas.oval((0.84, 0.35), 0.03, 0.034, _DARK)


def _penguin(canvas: Canvas, rng: np.random.Generator) -> None:
    coat = varied((42, 46, 58), 12, rng)
    beak = varied((240, 150, 40), 12, rng)
    flap = rng.uniform(-0.06, 0.08)
    for x in (0.42, 0.58):
        canvas.oval((x + 0.03, 0.965), 0.17, 0.06, beak)
    canvas.limb([(0.33, 0.42), (0.23 - flap, 0.58), (0.2 - flap, 0.72)], (0.1, 0.09, 0.03), coat)
    canvas.shape(
        [
            (0.38, 0.34),
            (0.5, 0.3),
            (0.64, 0.34),
            (0.73, 0.6),
            (0.69, 0.88),
            (0.5, 0.96),
            (0.31, 0.88),
            (0.27, 0.6),
        ],
        coat,
    )
    canvas.shape(
        [
            (0.46, 0.36),
            (0.6, 0.36),
            (0.69, 0.6),
            (0.65, 0.86),
            (0.52, 0.92),
            (0.41, 0.84),
            (0.39, 0.58),
        ],
        (246, 246, 242),
    )
    canvas.oval((0.52, 0.2), 0.29, 0.29, coat)
    canvas.oval((0.58, 0.26), 0.13, 0.13, (246, 246, 242))
    canvas.shape([(0.62, 0.18), (0.8, 0.22), (0.62, 0.26)], beak, smooth=False)
    canvas.oval((0.42, 0.27), 0.07, 0.1, varied((250, 205, 70), 8, rng))
    canvas.oval((0.57, 0.17), 0.05, 0.05, (250, 250, 250))
    canvas.oval((0.578, 0.17), 0.028, 0.028, _DARK)
    canvas.limb([(0.67, 0.42), (0.76 + flap, 0.58), (0.79 + flap, 0.7)], (0.1, 0.08, 0.03), coat)


def _duck(canvas: Canvas, rng: np.random.Generator) -> None:
    drake = rng.random() < 0.6
    head = varied((28, 110, 70) if drake else (140, 105, 70), 12, rng)
    body = varied((176, 166, 152) if drake else (168, 130, 88), 16, rng)
    breast = tinted(varied((120, 72, 50), 10, rng), 1.0 if drake else 1.15)
    yellow = varied((240, 185, 50), 10, rng)
    for x in (0.42, 0.52):
        canvas.limb([(x, 0.85), (x + 0.01, 0.97)], (0.03, 0.025), yellow)
        canvas.limb([(x, 0.975), (x + 0.08, 0.975)], (0.04, 0.05), yellow)
    canvas.shape(
        [
            (0.02, 0.48),
            (0.2, 0.58),
            (0.45, 0.55),
            (0.66, 0.5),
            (0.78, 0.6),
            (0.74, 0.78),
            (0.55, 0.89),
            (0.3, 0.88),
            (0.14, 0.74),
        ],
        body,
    )
    canvas.shape([(0.62, 0.54), (0.74, 0.52), (0.79, 0.64), (0.74, 0.78), (0.62, 0.82)], breast)
    canvas.limb([(0.68, 0.58), (0.7, 0.4), (0.72, 0.3)], (0.2, 0.13, 0.14), head)
    if drake:
        canvas.limb([(0.635, 0.47), (0.76, 0.47)], (0.035, 0.035), (245, 245, 240))
    canvas.oval((0.73, 0.27), 0.23, 0.21, head)
    canvas.shape([(0.81, 0.24), (0.92, 0.28), (0.98, 0.3), (0.94, 0.345), (0.81, 0.34)], yellow)
    canvas.shape(
        [(0.16, 0.6), (0.4, 0.58), (0.58, 0.64), (0.5, 0.75), (0.3, 0.76)], tinted(body, 0.78)
    )
    canvas.limb([(0.3, 0.72), (0.46, 0.715)], (0.045, 0.045), (52, 80, 165))
    canvas.oval((0.765, 0.24), 0.036, 0.036, (250, 250, 250))
    canvas.oval((0.77, 0.24), 0.022, 0.022, _DARK)


def _crab(canvas: Canvas, rng: np.random.Generator) -> None:
    shell = varied((208, 66, 44), 22, rng)
    dark = tinted(shell, 0.75)
    lift = rng.uniform(-0.06, 0.06)
    for side in (-1, 1):
        for k in range(3):
            knee = (0.5 + side * (0.36 + 0.03 * k), 0.6 + 0.06 * k)
            foot = (0.5 + side * (0.46 - 0.06 * k), 0.86 + 0.05 * k)
            canvas.limb([(0.5 + side * 0.2, 0.7), knee, foot], (0.06, 0.045, 0.02), dark)
        claw = (0.5 + side * 0.37, 0.34 + side * lift)
        canvas.limb(
            [(0.5 + side * 0.22, 0.6), (0.5 + side * 0.39, 0.52), claw], (0.08, 0.07, 0.08), shell
        )
        canvas.oval(claw, 0.19, 0.2, shell)
        jaw = [
            (claw[0] - 0.02, claw[1] - 0.14),
            (claw[0] + 0.03, claw[1] - 0.14),
            (claw[0], claw[1] + 0.02),
        ]
        canvas.limb(
            [(claw[0] - 0.07, claw[1] - 0.04), (claw[0] - 0.035, claw[1] - 0.14)],
            (0.07, 0.02),
            shell,
        )
        canvas.limb(
            [(claw[0] + 0.07, claw[1] - 0.04), (claw[0] + 0.035, claw[1] - 0.14)],
            (0.07, 0.02),
            shell,
        )
        canvas.shape(jaw, dark, smooth=False)
        canvas.limb([(0.5 + side * 0.08, 0.56), (0.5 + side * 0.1, 0.44)], (0.035, 0.03), shell)
        canvas.oval((0.5 + side * 0.1, 0.42), 0.07, 0.07, (250, 250, 250))
        canvas.oval((0.5 + side * 0.1, 0.42), 0.036, 0.036, _DARK)
    canvas.shape(
        [
            (0.23, 0.66),
            (0.32, 0.55),
            (0.5, 0.51),
            (0.68, 0.55),
            (0.77, 0.66),
            (0.68, 0.82),
            (0.5, 0.86),
            (0.32, 0.82),
        ],
        shell,
    )
    canvas.limb([(0.4, 0.76), (0.5, 0.785), (0.6, 0.76)], (0.015, 0.018, 0.015), dark)


ANIMALS: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    "camel": _camel,
    "deer": _deer,
    "cow": _cow,
    "penguin": _penguin,
    "duck": _duck,
    "crab": _crab,
}
