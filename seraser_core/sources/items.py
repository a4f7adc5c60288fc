"""The planned items: one row per image, and the ranges of rows that make a shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

PLANNER_VERSION = 6

ITEMS_SCHEMA = pa.schema(
    [
        pa.field("item_index", pa.int64(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        pa.field("label", pa.int32()),
        pa.field("attribute", pa.int32()),
        pa.field("mask", pa.string()),
        pa.field("box", pa.list_(pa.float64())),
        pa.field("offset", pa.int64()),
        pa.field("length", pa.int64()),
        pa.field("mask_offset", pa.int64()),
        pa.field("mask_length", pa.int64()),
        pa.field("size", pa.int64()),
        pa.field("version", pa.string()),
    ]
)
"""Columns of plan/items.parquet; image and mask are absolute paths or full URLs, box is as
dataset.box_format says, size is in bytes. Inside an archive, offset and length locate an image in
bytes; an offset without a length is a row of a Parquet file. Those of its mask are beside them. The
version is that of the image's file or archive, where `seraser_core.storage.version` or a listing
told it."""

SMALL_GROUP = 5
"""A group of fewer images says nothing: one of them moves its accuracy by a quarter or more."""


@dataclass(frozen=True)
class ShardRange:
    """A shard: the items with ``start <= item_index < stop``."""

    id: str
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def group_name(classes: Sequence[str], attributes: Sequence[str], label: int, place: int) -> str:
    """``label / attribute`` by name; an attribute without a name by its index."""
    shown = attributes[place] if place < len(attributes) else str(place)
    return f"{classes[label]} / {shown}"


def group_key(label: int, attribute: int) -> str:
    """Return the key of a group in documents: both indices."""
    return f"{label} {attribute}"
