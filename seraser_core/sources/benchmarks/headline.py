"""Headlines: the figures by which papers know a data set, where accuracy alone is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gap:
    """Accuracy over images with one attribute, minus that over images with another.

    Attributes:
        name: Its name in tables.
        one: Name of the first attribute.
        other: Name of the other one.
    """

    name: str
    one: str
    other: str


@dataclass(frozen=True)
class Misled:
    """Share of images that are taken for their label, which they do not show.

    Attributes:
        name: Its name in tables.
    """

    name: str


@dataclass(frozen=True)
class Drop:
    """Accuracy of zero-shot on whole images, minus that without the object (`background`).

    Attributes:
        name: Its name in tables.
    """

    name: str


Headline = Gap | Misled | Drop
