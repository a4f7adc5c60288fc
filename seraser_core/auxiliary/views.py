"""Views: the pictures derived from one image that methods look at.

A view is made before preprocessing, from the decoded image and its foreground. Random views draw
from a generator seeded by (run seed, item id, view), so they depend on nothing else. A view's name
is a key of `VIEWS`, what `crops_view` returns, or one of `RELEVANCE_VIEWS`, which are made later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from seraser_core.auxiliary.augment import random_augment
from seraser_core.auxiliary.crops import CROPS, parse_crops, random_crops

_COPIES = 15
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


View = Callable[[Picture, np.random.Generator], Iterator[Image.Image]]
"""One picture at a time: fifteen copies of a large one at once would need gigabytes."""


def _whole(picture: Picture, _rng: np.random.Generator) -> Iterator[Image.Image]:
    yield picture.image


def _keep(picture: Picture, region: np.ndarray | None, inside: bool) -> Image.Image:
    if region is None:
        raise ValueError("a view of the foreground needs its region")
    view = picture.image.copy()
    view.paste((0, 0, 0), mask=Image.fromarray(~region if inside else region))
    return view


def _mask_background(picture: Picture, _rng: np.random.Generator) -> Iterator[Image.Image]:
    yield _keep(picture, picture.mask, inside=False)


def _mask_foreground(picture: Picture, _rng: np.random.Generator) -> Iterator[Image.Image]:
    yield _keep(picture, picture.mask, inside=True)


def _box_background(picture: Picture, _rng: np.random.Generator) -> Iterator[Image.Image]:
    yield _keep(picture, picture.box, inside=False)


def _box_foreground(picture: Picture, _rng: np.random.Generator) -> Iterator[Image.Image]:
    yield _keep(picture, picture.box, inside=True)


def _segment_background(picture: Picture, _rng: np.random.Generator) -> Iterator[Image.Image]:
    yield _keep(picture, picture.segment, inside=False)


def _segment_foreground(picture: Picture, _rng: np.random.Generator) -> Iterator[Image.Image]:
    yield _keep(picture, picture.segment, inside=True)


def _augmented_image(picture: Picture, rng: np.random.Generator) -> Iterator[Image.Image]:
    for _ in range(_COPIES):
        yield random_augment(picture.image, 1, rng)


def _augmented_background(picture: Picture, rng: np.random.Generator) -> Iterator[Image.Image]:
    background = _keep(picture, picture.mask, inside=False)
    for _ in range(_COPIES):
        yield random_augment(background, 2, rng)


def _noisy_image(picture: Picture, rng: np.random.Generator) -> Iterator[Image.Image]:
    pixels = np.asarray(picture.image)
    noisy = np.empty_like(pixels)
    for top in range(0, len(pixels), _STRIP):  # floats of a large picture would need gigabytes
        strip = pixels[top : top + _STRIP].astype(np.float32) / 255
        strip += rng.standard_normal(strip.shape, dtype=np.float32) * np.float32(_NOISE_STD)
        noisy[top : top + _STRIP] = np.round(np.clip(strip, 0, 1) * 255)
    yield Image.fromarray(noisy)


VIEWS: dict[str, View] = {
    "image": _whole,
    "mask_background": _mask_background,
    "mask_foreground": _mask_foreground,
    "box_background": _box_background,
    "box_foreground": _box_foreground,
    "segment_background": _segment_background,
    "segment_foreground": _segment_foreground,
    "augmented_image": _augmented_image,
    "augmented_background": _augmented_background,
    "noisy_image": _noisy_image,
}
RELEVANCE_VIEWS = ("relevance_background", "relevance_foreground")
"""Made of the view ``image`` where the model is, see `seraser_core.auxiliary.relevance`."""


@dataclass(frozen=True)
class Auxiliary:
    """A kind of auxiliary images (METHODS table "Auxiliary images" of arXiv 2403.00376).

    Attributes:
        spurious: Views that hold only the spurious part; the all-black image always joins them.
        foreground: View that holds the foreground.
    """

    spurious: tuple[str, ...]
    foreground: str


AUXILIARY: dict[str, Auxiliary] = {
    "mask": Auxiliary(("mask_background",), "mask_foreground"),
    "box": Auxiliary(("box_background",), "box_foreground"),
    "mask+augment": Auxiliary(("mask_background", "augmented_background"), "mask_foreground"),
    "segment": Auxiliary(("segment_background",), "segment_foreground"),
    "relevance": Auxiliary(RELEVANCE_VIEWS[:1], RELEVANCE_VIEWS[1]),
    "augment": Auxiliary(("image", "augmented_image"), "image"),
    "noise": Auxiliary(("noisy_image",), "image"),
    "black": Auxiliary((), "image"),
}


def make_view(name: str, picture: Picture, seed: int, item_id: str) -> Iterator[Image.Image]:
    """The pictures of view `name`, one after the other.

    Args:
        name: A view.
        picture: The decoded image.
        seed: Seed of the run.
        item_id: Id of the image; with `seed` and the kind of view it fixes all random numbers, so
            fewer random crops are the first of more.
    """
    kind = name.partition(":")[0]
    digest = hashlib.sha256(f"{seed}\x00{kind}\x00{item_id}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:16], "big"))
    if kind == CROPS:
        return random_crops(picture.image, *parse_crops(name), rng)
    return VIEWS[kind](picture, rng)


def pictures_of(name: str) -> int:
    """Number of pictures of view `name`."""
    if name.startswith(f"{CROPS}:"):
        return parse_crops(name)[0]
    return _COPIES if name.startswith("augmented_") else 1
