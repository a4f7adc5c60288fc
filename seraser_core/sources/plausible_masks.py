"""Checking that masks can be foregrounds."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seraser_core.config.options import LimitOptions
from seraser_core.errors import ItemError
from seraser_core.sources.decode import (
    check_shape,
    decode_image,
    foreground,
    image_size,
    load_mask,
)
from seraser_core.sources.plausible import MOST_SHARE, Verdict, doubt_share
from seraser_core.sources.tiff import is_set

_MOST_VALUES = 16
"""Most values of a mask that are labels; more are shades."""
_SHADES = 0.5
_STEP_PIXELS = 256
_THUMBNAIL = (32, 32)
_ALIKE = 3.0
_FEW = 4
_BORDER = 0.9
_IGNORED, _LAST_CLASS = 255, 40
_REMEDIES = {
    "missing_mask": "paths are relative to the table that names them; see whether they are right",
    "mask_lossy": "store masks without loss, as PNG",
    "mask_palette": "store masks in grey, with 0 as background",
    "mask_size": "give masks of the images' shapes",
}


@dataclass(frozen=True)
class MaskLook:
    """Statistics of a mask.

    Attributes:
        digest: Hash of its file.
        share: Part of its pixels that is foreground.
        values: Its different values, as they are stored, of a part of the pixels.
        coloured: Whether it has colours.
        shades: Part of its pixels but those of 0 that are below the greatest value.
        border: Part of the border that is foreground.
        is_image: Whether it shows what the image shows.
    """

    digest: str
    share: float
    values: tuple[float, ...]
    coloured: bool
    shades: float
    border: float
    is_image: bool


def look_at_mask(data: bytes, image: bytes, limits: LimitOptions) -> MaskLook:
    """Compute the statistics of the mask in a file.

    Args:
        data: The mask.
        image: Its image.
        limits: Limits of the files.

    Raises:
        ItemError: It cannot be used.
    """
    mask = load_mask(data, limits)
    check_shape(mask.size, image_size(image, limits))
    region = foreground(mask)
    height, width = region.shape
    stored = np.asarray(mask)[:: -(-height // _STEP_PIXELS), :: -(-width // _STEP_PIXELS)]
    coloured = stored.ndim == 3 and bool((stored != stored[..., :1]).any())
    levels = stored.max(-1) if stored.ndim == 3 else stored
    levels = np.where(is_set(levels), levels, 0)
    values = np.unique(levels)
    shown = levels[levels != 0]
    shades = float((shown < values[-1]).mean()) if shown.size else 0.0
    border = np.concatenate([region[0], region[-1], region[:, 0], region[:, -1]])
    return MaskLook(
        hashlib.sha256(data).hexdigest(),
        float(region.mean()),
        tuple(values[:300].tolist()),
        coloured,
        shades,
        float(border.mean()),
        len(values) > _MOST_VALUES and _shows_same(data, image, limits),
    )


def judge_masks(looks: Sequence[MaskLook], faults: Sequence[ItemError]) -> Verdict:
    """Judge whether masks can be foregrounds.

    Args:
        looks: Statistics of the masks.
        faults: Faults of other masks in the sample.
    """
    if not looks:
        codes = {fault.code for fault in faults}
        if len(codes) != 1 or faults[0].code not in _REMEDIES:
            return Verdict()
        reason = f"none of {len(faults)} masks that were looked at can be used: {faults[0].message}"
        return Verdict((reason, _REMEDIES[faults[0].code]))
    count = len(looks)
    if all(look.is_image for look in looks):
        reason = f"each of {count} masks that were looked at shows what its image shows"
        return Verdict((reason, "name the column of the masks, or give masks with 0 as background"))
    if count >= _FEW and all(look.share == 1 for look in looks):
        return Verdict(_without_zero(looks))
    if count >= _FEW and all(look.share == 0 for look in looks):
        return Verdict(
            (
                f"each of {count} masks that were looked at is 0 everywhere",
                "give masks whose foreground is not 0; of masks with alpha, only the colours count",
            )
        )
    shaded = [look for look in looks if len(look.values) > _MOST_VALUES and look.shades > _SHADES]
    mean = float(np.mean([look.share for look in looks]))
    if count >= _FEW and len(shaded) == count and mean > MOST_SHARE:
        return Verdict(
            (
                f"each of {count} masks that were looked at has shades of grey, and on average "
                f"{100 * mean:.1f} % of a mask is not 0",
                "they may be probabilities, of which all but 0 counts as foreground; store 0 and "
                "255 instead, cut at a threshold",
            )
        )
    return Verdict(None, _doubts(looks, len(shaded), mean))


def _without_zero(looks: Sequence[MaskLook]) -> tuple[str, str]:
    values = sorted({value for look in looks for value in look.values})
    fault = f"each of {len(looks)} masks that were looked at is foreground everywhere"
    if set(values) <= {1, 2, 3} and len(values) > 1:
        return (
            f"{fault}: its values are {_listed(values)}, and none is 0",
            "they may be trimaps as those of Oxford-IIIT Pet, where 1 is the foreground, 2 the "
            "background and 3 the border; store the background as 0",
        )
    if any(look.coloured for look in looks):
        return f"{fault}: no colour is black", "store the background as black"
    if max(len(look.values) for look in looks) > _MOST_VALUES:
        return (
            f"{fault}: it has shades of grey, and none is 0",
            "they may be probabilities or pictures; store 0 as background and 255 as foreground",
        )
    fault = f"{fault}: its values are {_listed(values)}, and none is 0"
    if values[0] > 0 and values[-1] <= 1 and values != [1]:
        return (
            fault,
            "they may be probabilities; store 0 as background and 255 as foreground, cut at a "
            "threshold",
        )
    return fault, "store the background as 0"


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values[:5]) + (", ..." if values[5:] else "")


def _doubts(looks: Sequence[MaskLook], shaded: int, mean: float) -> list[str]:
    count, doubts = len(looks), doubt_share("mask", mean, len(looks))
    whole = sum(look.share == 1 for look in looks)
    if whole > count / 2:
        doubts.append(f"{whole} of {count} masks that were looked at are foreground everywhere")
    same = sum(look.is_image for look in looks)
    if same:
        doubts.append(f"{same} of {count} masks that were looked at show what their images show")
    if shaded > count / 2:
        doubts.append(
            f"{shaded} of {count} masks that were looked at have shades of grey, as probabilities "
            "or many instances do; all but 0 counts as foreground"
        )
    _, times = Counter(look.digest for look in looks).most_common(1)[0]
    if count >= _FEW and times == count:
        doubts.append(f"all of {count} masks that were looked at are the same")
    ignored = [look for look in looks if _has_ignored(look)]
    if len(ignored) > count / 2:
        doubts.append(
            f"{len(ignored)} of {count} masks that were looked at have classes and the value 255, "
            "which often stands for pixels to ignore and counts as foreground"
        )
    border = float(np.mean([look.border for look in looks]))
    if count >= _FEW and border > _BORDER and mean <= MOST_SHARE:
        doubts.append(
            f"in {count} masks that were looked at, {100 * border:.0f} % of the border is "
            "foreground; they may be inverted (0 is background)"
        )
    return doubts


def _has_ignored(look: MaskLook) -> bool:
    classes = [value for value in look.values if 0 < value < _IGNORED]
    return _IGNORED in look.values and bool(classes) and max(classes) <= _LAST_CLASS


def _shows_same(mask: bytes, image: bytes, limits: LimitOptions) -> bool:
    try:
        pictures = [decode_image(one, limits) for one in (mask, image)]
    except ItemError:
        return False
    a, b = (np.asarray(one.convert("L").resize(_THUMBNAIL), dtype=float) for one in pictures)
    return bool(np.abs(a - b).mean() < _ALIKE)
