"""The images that the shortcut finder looks at: those with the smallest hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Sample:
    """Features and logits of n sampled images; C classes, features of length D.

    Attributes:
        item_ids: Ids of the images.
        keys: (n,) uint64, see `key`.
        whole: (n, C) float32 zero-shot logits of the image.
        background: (n, C) float32 zero-shot logits of the image without its object.
        foreground: (n, C) float32 zero-shot logits of the object alone.
        erased: (n, C) float32 logits of the erasing method; None if the run has none.
        features: (n, D) float32, L2-normalised feature of the image without its object.
        area: (n,) float32, share of the picture that the object covers.
        labels: (n,) int64; -1 where there is none.
        attributes: (n,) int64; -1 where there is none.
    """

    item_ids: list[str]
    keys: np.ndarray
    whole: np.ndarray
    background: np.ndarray
    foreground: np.ndarray
    erased: np.ndarray | None
    features: np.ndarray
    area: np.ndarray
    labels: np.ndarray
    attributes: np.ndarray

    def __len__(self) -> int:
        return len(self.item_ids)

    def take(self, rows: np.ndarray) -> Sample:
        """Return the images at `rows`, in that order.

        Args:
            rows: Indices, or a bool per image.
        """
        places = np.arange(len(self))[rows]
        arrays: dict[str, Any] = {
            name: None if values is None else values[places]
            for name, values in vars(self).items()
            if name != "item_ids"
        }
        return replace(self, item_ids=[self.item_ids[place] for place in places], **arrays)

    def smallest(self, n: int | None = None) -> Sample:
        """Return the `n` images with the smallest keys, or all, sorted by key."""
        return self.take(np.lexsort((np.asarray(self.item_ids), self.keys))[:n])


def key(seed: int, item_id: str) -> int:
    """Hash an image's id to 64 bits; the smallest ones of a data set are its sample."""
    digest = hashlib.sha256(f"{seed}\x00shortcuts\x00{item_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def merge(samples: Sequence[Sample], n: int) -> Sample:
    """Return the `n` images with the smallest keys among several samples, each image once.

    The order of the samples, and in which groups they are merged, makes no difference.

    Args:
        samples: At least one, all with the same classes, features and methods.
        n: Size of the merged sample.

    Raises:
        ValueError: Only some of the samples have erased logits.
    """
    if len({sample.erased is None for sample in samples}) > 1:
        raise ValueError("only some of the samples have logits of an erasing method")
    joined: dict[str, Any] = {"item_ids": [one for sample in samples for one in sample.item_ids]}
    for field in fields(Sample)[1:]:
        parts = [getattr(sample, field.name) for sample in samples]
        joined[field.name] = None if parts[0] is None else np.concatenate(parts)
    merged = Sample(**joined)
    first = {item_id: row for row, item_id in reversed(list(enumerate(merged.item_ids)))}
    return merged.take(np.asarray(sorted(first.values()), dtype=np.int64)).smallest(n)
