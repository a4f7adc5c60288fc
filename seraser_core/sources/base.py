"""What a source of images is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from seraser_core.config.options import DatasetOptions

ABSOLUTE = r"^(/|[A-Za-z][A-Za-z0-9+.-]*://)"
"""Pattern of paths and URLs that are complete."""
CLIMBING = r"(?i)(^|[/\\])(\.|%2e){2}([/\\]|$)"
"""Pattern of paths that leave their folder; %2e is a dot to web servers."""


@dataclass(frozen=True)
class Listing:
    """What a source found.

    Attributes:
        items: Columns item_id, image, label, attribute, mask, box, size as in ITEMS_SCHEMA,
            in any order of rows.
        classes: Class names, index = label.
        attributes: Attribute names, index = attribute; empty when unknown.
        facts: What was listed, for the record.
        base: Folder that the columns image and mask are relative to, where they are not absolute.
            Millions of rows repeat it, so it is put before them at the very end.
        template: Prompt template of the data set, for when the configuration names none.
    """

    items: pl.DataFrame
    classes: list[str]
    attributes: list[str]
    facts: dict[str, Any] = field(default_factory=dict)
    base: str = ""
    template: str | None = None


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
