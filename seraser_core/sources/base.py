"""What a source of images is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from seraser_core.config.options import DatasetOptions


@dataclass(frozen=True)
class Listing:
    """What a source found.

    Attributes:
        items: Columns item_id, image, label, attribute, mask, box, size as in ITEMS_SCHEMA,
            in any order of rows.
        classes: Class names, index = label.
        attributes: Attribute names, index = attribute; empty when unknown.
        facts: What was listed, for the record.
    """

    items: pl.DataFrame
    classes: list[str]
    attributes: list[str]
    facts: dict[str, Any] = field(default_factory=dict)


class Source(ABC):
    """Lists the images of a data set."""

    def __init__(self, options: DatasetOptions) -> None:
        self.options = options

    @abstractmethod
    def listing(self) -> Listing:
        """List every image once.

        Raises:
            ConfigError: The data set cannot be used as configured.
        """
