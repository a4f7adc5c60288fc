"""Masks that are made while a run computes, and kept beside its results.

An image's mask depends on nothing but the image and the configuration, so whoever writes it again
writes the same.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from seraser_core import storage
from seraser_core.errors import DeviceLostError, ItemError, TransientError
from seraser_core.kinds import RELEVANCE_BACKGROUND, RELEVANCE_FOREGROUND
from seraser_core.models.device import is_lost
from seraser_core.models.memory import is_out_of_memory
from seraser_core.results.picture_sums import PictureFacts
from seraser_core.runner.clock import Clock
from seraser_core.runner.infer import in_batches
from seraser_core.runner.session import Session
from seraser_core.sources.decode import decode_mask

_WRITES_AT_ONCE = 16
_RELEVANCE = "relevance"
_PICTURES_AT_ONCE = {"cpu": 4, "cuda": 32}
"""The graph of a picture takes 0.4 GB in ViT-L/14."""


def segment_mask(
    session: Session, item: dict[str, Any], image: Image.Image, clock: Clock
) -> np.ndarray:
    """Return the segmenter's mask of a decoded image: kept, or new and then kept.

    Args:
        session: One whose methods need it.
        item: Row of the plan.
        image: RGB, H x W pixels.
        clock: Counts reading and writing it as ``masks_s``, and not as ``decode_s``.

    Returns:
        (H, W) bool, True on the foreground.

    Raises:
        TransientError: The mask could not be read or written, or the device's memory is full.
    """
    if session.segmenter is None:
        raise ValueError("no method of this run needs a segmenter")
    url = session.images.mask_path("segment", int(item["item_index"]))
    if url is not None:
        with suppress(FileNotFoundError, ItemError):  # not there, or damaged
            with clock.on("masks_s", not_on="decode_s"):
                kept = storage.read_bytes(url)
            return decode_mask(kept, image.size, session.config.dataset.limits)
    try:
        mask = session.segmenter.mask(image)
    except RuntimeError as error:  # the device's fault, not the image's
        if is_lost(error):
            raise DeviceLostError(f"segmenter: {error}") from None
        if not is_out_of_memory(error):
            raise
        raise TransientError(f"segmenter: out of memory: {error}") from None
    if url is not None:
        with clock.on("masks_s", not_on="decode_s"):
            storage.write_bytes(url, _png(mask))
    return mask


def add_relevance(session: Session, views: dict[str, Tensor]) -> Tensor:
    """Add the views that relevance makes of the view ``image``.

    Args:
        session: One whose methods need them.
        views: View name -> (B, K, 3, H, W) uint8 on the model's device; changed.

    Returns:
        (B, H, W) bool, the masks, True on the foreground.
    """
    relevance = session.relevance
    if relevance is None:
        raise ValueError("no method of this run needs relevance")
    pictures = views["image"]
    sizes = session.batch_sizes
    sizes.setdefault(_RELEVANCE, _PICTURES_AT_ONCE[pictures.device.type])
    masks = torch.cat(
        in_batches(
            lambda part: relevance.masks(pictures[part, 0]), len(pictures), sizes, _RELEVANCE
        )
    )
    inside = masks[:, None, None]
    views[RELEVANCE_BACKGROUND.name] = pictures * ~inside
    views[RELEVANCE_FOREGROUND.name] = pictures * inside
    return masks


def save_masks(
    session: Session, items: Sequence[int], sizes: Sequence[tuple[int, int]], masks: Tensor
) -> None:
    """Keep relevance masks, in the images' own sizes.

    Args:
        session: The run.
        items: The images' places in the plan.
        sizes: Their width and height.
        masks: (B, H, W) bool, see `add_relevance`.

    Raises:
        TransientError: They could not be written.
    """

    def save(item: int, size: tuple[int, int], mask: np.ndarray) -> None:
        url = session.images.mask_path(_RELEVANCE, item)
        if url is not None:
            storage.write_bytes(url, _png(session.model.preprocessing.restore(mask, size)))

    with ThreadPoolExecutor(_WRITES_AT_ONCE) as pool:
        list(pool.map(save, items, sizes, masks.cpu().numpy()))


def _png(mask: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(mask).save(data, "PNG")
    return data.getvalue()


def with_relevance(facts: list[PictureFacts], masks: Tensor) -> list[PictureFacts]:
    """The facts with the shares of relevance masks, (B, H, W) bool."""
    shares = masks.flatten(1).double().mean(1).tolist()
    return [
        replace(one, foregrounds={**one.foregrounds, "relevance": share})
        for one, share in zip(facts, shares, strict=True)
    ]
