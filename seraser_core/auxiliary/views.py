"""Views: the pictures derived from one image that methods look at.

A view is made before preprocessing, from the decoded image and its foreground. Random views draw
from a generator seeded by (run seed, item id, view), so they depend on nothing else. The views are
declared in `seraser_core.kinds`; those of relevance are made later, of what the model sees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pkgutil import resolve_name

import numpy as np
from PIL import Image

from seraser_core.auxiliary.augment import random_augment
from seraser_core.auxiliary.crops import random_crops
from seraser_core.kinds import View

_NOISE_STD = 0.1
_STRIP = 64


@dataclass(frozen=True)
class Picture:
    """A decoded image with what is known of its foreground.

    Attributes:
        image: RGB.
        mask: (H, W) bool, True on the foreground; None without a mask.
        box: (H, W) bool, True inside the box; None without a box.
        segment: (H, W) bool, True on what the segmenter found; None where it was not asked.
    """

    image: Image.Image
    mask: np.ndarray | None = None
    box: np.ndarray | None = None
    segment: np.ndarray | None = None
    _stencils: dict[str, Image.Image] = field(default_factory=dict)

    def stencil(self, region: str) -> Image.Image | None:
        """A foreground by name as a mask of Pillow's, made once; None where there is none."""
        inside: np.ndarray | None = getattr(self, region)
        if inside is not None and region not in self._stencils:
            self._stencils[region] = Image.fromarray(inside)
        return self._stencils.get(region)


Draws = Callable[[], np.random.Generator]
"""Begins the random numbers of a view: making their generator takes as long as a small picture."""
Maker = Callable[[View, Picture, Draws], Iterator[Image.Image]]
"""One picture at a time: fifteen copies of a large one at once would need gigabytes."""


def whole(_view: View, picture: Picture, _draws: Draws) -> Iterator[Image.Image]:
    """The image as it is."""
    yield picture.image


def background(view: View, picture: Picture, _draws: Draws) -> Iterator[Image.Image]:
    """The image with its foreground blackened."""
    yield _keep(picture, view, inside=False)


def foreground(view: View, picture: Picture, _draws: Draws) -> Iterator[Image.Image]:
    """The image with all but its foreground blackened."""
    yield _keep(picture, view, inside=True)


def _keep(picture: Picture, view: View, inside: bool) -> Image.Image:
    stencil = None if view.region is None else picture.stencil(view.region.name)
    if stencil is None:
        raise ValueError(f"{view.name} needs a foreground")
    if inside:
        kept = Image.new("RGB", picture.image.size)
        kept.paste(picture.image, mask=stencil)
    else:
        kept = picture.image.copy()
        kept.paste((0, 0, 0), mask=stencil)
    return kept


def augmented_image(view: View, picture: Picture, draws: Draws) -> Iterator[Image.Image]:
    """Distorted copies of the image."""
    rng = draws()
    for _ in range(view.count):
        yield random_augment(picture.image, 1, rng)


def augmented_background(view: View, picture: Picture, draws: Draws) -> Iterator[Image.Image]:
    """Distorted copies of the image with its foreground blackened."""
    kept, rng = _keep(picture, view, inside=False), draws()
    for _ in range(view.count):
        yield random_augment(kept, 2, rng)


def noisy_image(_view: View, picture: Picture, draws: Draws) -> Iterator[Image.Image]:
    """The image with noise."""
    pixels, rng = np.asarray(picture.image), draws()
    noisy = np.empty_like(pixels)
    for top in range(0, len(pixels), _STRIP):  # floats of a large picture would need gigabytes
        strip = pixels[top : top + _STRIP].astype(np.float32) / 255
        strip += rng.standard_normal(strip.shape, dtype=np.float32) * np.float32(_NOISE_STD)
        noisy[top : top + _STRIP] = np.round(np.clip(strip, 0, 1) * 255)
    yield Image.fromarray(noisy)


def crops(view: View, picture: Picture, draws: Draws) -> Iterator[Image.Image]:
    """Random crops, see `random_crops`."""
    if view.size is None:
        raise ValueError(f"{view.name} needs a size")
    return random_crops(picture.image, view.count, view.size, draws())


def make_view(view: View, picture: Picture, seed: int, item_id: str) -> Iterator[Image.Image]:
    """The pictures of a view, one after the other.

    Args:
        view: The view; it must have something that makes it.
        picture: The decoded image.
        seed: Seed of the run.
        item_id: Id of the image; with `seed` and the stream of the view it fixes all random
            numbers, so fewer random crops are the first of more.
    """

    def draws() -> np.random.Generator:
        stream = view.stream or view.name
        digest = hashlib.sha256(f"{seed}\x00{stream}\x00{item_id}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:16], "big"))

    return _maker(view.make)(view, picture, draws)


@cache
def _maker(place: str) -> Maker:
    maker: Maker = resolve_name(place)
    return maker
