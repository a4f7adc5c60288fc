"""Procedural pictures of animals in landscapes, each with the animal's mask."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

from seraser_core.demo.animals import ANIMALS
from seraser_core.demo.canvas import Canvas
from seraser_core.demo.contexts import CONTEXTS, grain

SIDE = 192
_SUPERSAMPLING = 2
# A pixel that the animal touches at all belongs to the mask, or its outline would stay behind.
_COVERED = 26


def draw_picture(
    animal: str, context: str, seed: int, side: int = SIDE
) -> tuple[np.ndarray, np.ndarray]:
    """A picture of `animal` in `context`; the same arguments give the same picture.

    Args:
        animal: A key of `ANIMALS`.
        context: A key of `CONTEXTS`.
        seed: Decides place, size, pose, colours and landscape.
        side: Side of the picture in pixels.

    Returns:
        (side, side, 3) uint8 RGB picture and (side, side) bool mask, True on the animal.
    """
    digest = hashlib.sha256(f"{animal}/{context}/{seed}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    fine = side * _SUPERSAMPLING
    horizon = rng.uniform(0.4, 0.55)
    layer = CONTEXTS[context](fine, horizon, rng)
    size = rng.uniform(0.42, 0.66)
    left = rng.uniform(0.03, 0.97 - size)
    feet = min(0.97, max(rng.uniform(horizon + 0.16, 0.97), size + 0.03))
    layer *= 1 - 0.35 * _shadow(fine, left + size / 2, feet, size)
    canvas = Canvas(fine)
    canvas.place(left, feet - size, size, mirrored=bool(rng.random() < 0.5))
    ANIMALS[animal](canvas, rng)
    drawn = canvas.pixels()
    covered = drawn[..., 3] > 0
    height = (np.linspace(0, 1, fine, dtype=np.float32)[:, None, None] - feet) / size + 1
    light = 1.12 - 0.26 * np.clip(height, 0, 1) + 0.04 * grain(fine, 22, rng)
    layer[covered] = drawn[covered][:, :3] * light[covered]
    layer -= 128  # in place, as all before: new memory of this size takes as long as the sums
    layer *= rng.uniform(0.88, 1.08)
    layer += 128
    layer += rng.uniform(-14, 14)
    picture = Image.fromarray(np.clip(layer, 0, 255, out=layer).astype(np.uint8))
    mask = Image.fromarray(drawn[..., 3])
    picture, mask = (p.resize((side, side), Image.Resampling.BOX) for p in (picture, mask))
    return np.asarray(picture), np.asarray(mask) >= _COVERED


def _shadow(side: int, x: float, y: float, width: float) -> np.ndarray:
    """A soft oval on the ground: (side, side, 1) in 0..1."""
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side
    across, down = (axis - x) / (width * 0.5), (axis - y) / (width * 0.08)
    return np.clip(1.2 - across[None, :] ** 2 - down[:, None] ** 2, 0, 1)[..., None]
