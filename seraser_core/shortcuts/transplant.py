"""Confirming shortcuts by transplant: the same objects, pasted onto these surroundings and others.

A shortcut is a claim of cause: an object is taken for the class *because* it stands in the place.
Pasting it there and elsewhere tests just that, with nothing else changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from seraser_core.shortcuts.findings import Findings, Rate, Shortcut, Transplant

MOST_OBJECTS = 200
_LEAST_BACKGROUNDS = 2
_AT_ONCE = 64


@dataclass(frozen=True)
class Cutout:
    """A picture whose object can be cut out.

    Attributes:
        item_id: Id of the image.
        image: (H, W, 3) uint8.
        mask: (H, W) bool, True on the object.
        object_class: Class of the object: its label, or what it is taken for alone.
    """

    item_id: str
    image: np.ndarray
    mask: np.ndarray
    object_class: int


Score = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Pictures, (H, W, 3) uint8 each -> (n, C) logits."""


def confirm(
    findings: Findings,
    places: Mapping[str, int],
    cutouts: Sequence[Cutout],
    score: Score,
    seed: int = 0,
) -> Findings:
    """Paste objects of other classes onto the surroundings of each shortcut and onto others.

    Args:
        findings: What was found.
        places: Item id -> place, see `places_of`.
        cutouts: Pictures to use, of which at most `MOST_OBJECTS` give objects.
        score: The model.
        seed: Chooses the backgrounds.

    Returns:
        The findings, with `transplant` where there are pictures of the place and of others.
    """
    known = sorted((one for one in cutouts if one.item_id in places), key=lambda c: c.item_id)
    confirmed = [
        one.model_copy(
            update={"transplant": _transplant(one, findings, places, known, score, seed)}
        )
        for one in findings.shortcuts
    ]
    return findings.model_copy(update={"shortcuts": confirmed})


def _transplant(
    shortcut: Shortcut,
    findings: Findings,
    places: Mapping[str, int],
    cutouts: Sequence[Cutout],
    score: Score,
    seed: int,
) -> Transplant | None:
    # Another place with the same shortcut is no place without it.
    same = {o.cluster for o in findings.shortcuts if o.class_index == shortcut.class_index}
    here = [one for one in cutouts if places[one.item_id] == shortcut.cluster]
    elsewhere = [one for one in cutouts if places[one.item_id] not in same]
    objects = [one for one in cutouts if one.object_class != shortcut.class_index]
    if not objects or min(len(here), len(elsewhere)) < _LEAST_BACKGROUNDS:
        return None
    rng = np.random.default_rng([seed, shortcut.cluster])
    chosen = [objects[i] for i in rng.permutation(len(objects))[:MOST_OBJECTS]]
    rates = []
    for backgrounds in (here, elsewhere):
        drawn = rng.integers(len(backgrounds), size=len(chosen))
        pairs = [(one, backgrounds[at]) for one, at in zip(chosen, drawn, strict=True)]
        hits = 0
        for start in range(0, len(pairs), _AT_ONCE):
            logits = score([paste(*pair) for pair in pairs[start : start + _AT_ONCE]])
            hits += int((logits.argmax(1) == shortcut.class_index).sum())
        rates.append(Rate.of(hits, len(chosen)))
    return Transplant(here=rates[0], elsewhere=rates[1])


def paste(thing: Cutout, background: Cutout, feather: float = 1.0) -> np.ndarray:
    """Paste an object where it stood in its own picture onto another picture's background.

    The background's own object is removed first, see `fill`.

    Args:
        thing: The picture of the object, which is resized to that of the background.
        background: The picture of the background.
        feather: Softness of the object's edge in pixels; 0 for a hard edge.

    Returns:
        (H, W, 3) uint8, as large as the background.
    """
    size = background.image.shape[1], background.image.shape[0]
    image = np.asarray(Image.fromarray(thing.image).resize(size, Image.Resampling.BICUBIC))
    mask = Image.fromarray(thing.mask).resize(size, Image.Resampling.NEAREST).convert("L")
    if feather:
        mask = mask.filter(ImageFilter.GaussianBlur(feather))
    share = np.asarray(mask, dtype=np.float32)[..., None] / 255
    mixed = share * image + (1 - share) * fill(background.image, background.mask)
    pasted: np.ndarray = np.round(mixed).astype(np.uint8)
    return pasted


def fill(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return a picture whose masked part goes on smoothly from what surrounds it.

    Every masked pixel gets the mean of the nearest unmasked ones, from ever coarser pictures.

    Args:
        image: (H, W, 3) uint8.
        mask: (H, W) bool.

    Returns:
        (H, W, 3) float32 in 0..255; black if all is masked.
    """
    known = (~mask)[..., None].astype(np.float32)
    filled: np.ndarray = _filled(image.astype(np.float32) * known, known)
    return filled


def _filled(weighted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The picture of weighted sums (H, W, 3) and weights (H, W, 1), with coarser ones for 0."""
    own: np.ndarray = weighted / np.maximum(known, 1e-6)
    if known.min() > 0 or max(known.shape) == 1:
        return own
    height, width = known.shape[0], known.shape[1]
    padding = ((0, height % 2), (0, width % 2), (0, 0))

    def halved(values: np.ndarray) -> np.ndarray:
        even = np.pad(values, padding)
        sums: np.ndarray = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
        return sums

    coarse = _filled(halved(weighted), halved(known))
    wide = coarse.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return np.where(known > 0, own, wide)
