"""Interface of a source of images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from seraser_core.config.options import DatasetOptions
from seraser_core.config.secrets import PLAIN_URL, URL_RULE
from seraser_core.errors import ConfigError
from seraser_core.redaction import SECRET_URL
from seraser_core.sources.shown import all_composed
from seraser_core.storage import FileInfo

ABSOLUTE = r"^(/|[A-Za-z][A-Za-z0-9+.-]*://)"
"""Pattern of absolute paths and full URLs."""
CLIMBING = r"(?i)(^|[/\\])(\.|%2e){2}([/\\]|$)"
"""Pattern of paths that leave their folder; %2e is a dot to web servers."""
_REMOTE = r"^(https?|s3a?|gs|gcs|az|abfss?)://"


def check_paths(
    paths: pl.Series, base: str, setting: str, allow_outside: bool, remote: bool = False
) -> None:
    """Refuse paths that lead out of the folder of the file that names them, and secrets in URLs.

    Args:
        paths: Paths relative to `base`, or absolute ones.
        base: The folder.
        setting: The setting that names the paths, for errors.
        allow_outside: Refuse none but those with secrets.
        remote: Take URLs of other machines.

    Raises:
        ConfigError: One of them is refused.
    """
    if paths.str.contains(SECRET_URL).any():
        raise ConfigError(f"dataset.{setting}", "a URL with a secret", f"{URL_RULE}; {PLAIN_URL}")
    absolute = paths.str.contains(ABSOLUTE)
    inside = paths.str.starts_with(base.rstrip("/") + "/")
    if remote:
        inside |= paths.str.contains(_REMOTE)
    climbing = paths.str.contains(CLIMBING)
    # After `::` a chained location goes on elsewhere.
    if "::" in base or remote:
        climbing |= paths.str.contains("::", literal=True)
    refused = paths.filter(((absolute & ~inside) | climbing).fill_null(False))
    if len(refused) and not allow_outside:
        raise ConfigError(
            f"dataset.{setting}",
            repr(refused[0]),
            f"is outside of the table's folder {base}; set dataset.allow_outside to true "
            "when that is meant",
        )


def listed(
    ids: pl.Series, images: pl.Series, files_by_row: Collection[FileInfo | None] | None = None
) -> pl.DataFrame:
    """Return items without labels, masks and boxes; see `Listing`."""
    rows = len(ids)
    # One id, wherever the data set lies: some disks take names apart, é into e and an accent.
    whole = all_composed(ids)
    if not whole.equals(ids) and whole.n_unique() == rows:
        ids = whole
    files = [None] * rows if files_by_row is None else files_by_row
    return pl.DataFrame(
        {
            "item_id": ids,
            "image": images,
            "label": pl.Series([None] * rows, dtype=pl.Int32),
            "attribute": pl.Series([None] * rows, dtype=pl.Int32),
            "mask": pl.Series([None] * rows, dtype=pl.String),
            "box": pl.Series([None] * rows, dtype=pl.List(pl.Float64)),
            "size": pl.Series([file and file.size for file in files], dtype=pl.Int64),
            "version": pl.Series([file and file.version for file in files], dtype=pl.String),
        }
    )


@dataclass(frozen=True)
class Listing:
    """Images and names that a source has listed.

    Attributes:
        items: Columns item_id, image, label, attribute, mask, box, size as in ITEMS_SCHEMA, and
            others of it where they are not null, in any order of rows.
        classes: Labels of the classes in the data, index = label.
        attributes: Values of the attribute in the data, index = attribute; empty if unknown.
        facts: Facts about the listing, for the record.
        warnings: Warnings for people.
        base: Folder that the columns image and mask are relative to, where they are not absolute.
            Millions of rows repeat it, so it is put before them at the very end.
        template: Prompt template of the data set, for when the configuration names none.
        train_counts: (label, attribute) -> images of the group in the training split, where the
            data set states them.
        names: Class names for prompts, where the source knows other ones than are configured.
        sparse: Whether classes without images belong to the data set.
    """

    items: pl.DataFrame
    classes: list[str]
    attributes: list[str]
    facts: dict[str, Any] = field(default_factory=dict)
    base: str = ""
    warnings: list[str] = field(default_factory=list)
    template: str | None = None
    train_counts: dict[tuple[int, int], int] = field(default_factory=dict)
    names: list[str] | None = None
    sparse: bool = False


class Source(ABC):
    """Lists the images of a data set.

    Args:
        options: The data set.
        cache: Folder or URL for what is worth keeping for other runs over the same data.
    """

    def __init__(self, options: DatasetOptions, cache: str = "") -> None:
        self.options, self.cache = options, cache

    @abstractmethod
    def listing(self) -> Listing:
        """List every image once.

        Raises:
            ConfigError: The data set cannot be used as configured.
        """
