"""Examples from a listing, by which people check that it is what they meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from seraser_core.sources.planner import PlannedItems

MOST = 20
"""Number of classes, and of groups, that are shown."""


@dataclass(frozen=True)
class Example:
    """An image of a class, or of a group.

    Attributes:
        what: ``class`` or ``group``.
        name: Its name.
        images: Number of its images.
        image: Location of the first of them.
    """

    what: str
    name: str
    images: int
    image: str

    def __str__(self) -> str:
        return f"{self.what} {self.name}: {self.images:,} images, such as {self.image}"


def examples(planned: PlannedItems) -> list[Example]:
    """Return one image of every class and group, for at most `MOST` of either."""
    items = pl.DataFrame(planned.table.select(["label", "attribute", "item_id", "image", "offset"]))
    return [*_of_classes(items, planned), *_of_groups(items, planned)]


def hidden(planned: PlannedItems) -> list[str]:
    """Describe what `examples` leaves out."""
    items = pl.DataFrame(planned.table.select(["label", "attribute"])).drop_nulls("label")
    counts = {
        "classes": items["label"].n_unique(),
        "groups": items.drop_nulls().n_unique(),
    }
    return [f"and {n - MOST:,} more {what}" for what, n in counts.items() if n > MOST]


def _of_classes(items: pl.DataFrame, planned: PlannedItems) -> Iterator[Example]:
    for label, images, image in _first(items, ["label"]):
        yield Example("class", f"{label} {planned.classes[label]!r}", images, image)


def _of_groups(items: pl.DataFrame, planned: PlannedItems) -> Iterator[Example]:
    for label, attribute, images, image in _first(items, ["label", "attribute"]):
        names = planned.attributes
        named = names[attribute] if attribute < len(names) else str(attribute)
        yield Example("group", f"{planned.classes[label]} / {named}", images, image)


def _first(items: pl.DataFrame, keys: list[str]) -> list[tuple[Any, ...]]:
    place = (
        pl.when(pl.col("offset").is_null())
        .then(pl.col("image"))
        .otherwise(pl.format("{} in {}", "item_id", "image"))
    )
    return (
        items.drop_nulls(keys)
        .group_by(keys)
        .agg(pl.len(), place.first())
        .sort(keys)
        .head(MOST)
        .rows()
    )
