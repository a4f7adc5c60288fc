"""Masks from a table of their own, for a data set of any format."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from seraser_core import storage
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError
from seraser_core.sources.base import ABSOLUTE, Listing, check_paths
from seraser_core.sources.table import TableSource

_FIELD = "dataset.masks"


def with_masks(listing: Listing, options: DatasetOptions) -> Listing:
    """The listing with the masks of the table ``dataset.masks``, joined by item_id.

    Raises:
        ConfigError: The table cannot be read, names an id twice, or no image of the data set.
    """
    if options.masks is None:
        return listing
    masks = _read(options.masks, options.allow_outside)
    places = [name for name in ("mask_offset", "mask_length") if name in listing.items.columns]
    items = listing.items.drop("mask", *places).join(masks, on="item_id", how="left")
    others = masks.height - items["mask"].count()
    if others == masks.height:
        raise ConfigError(
            _FIELD,
            f"{options.masks}: no image has one of its ids, such as {masks['item_id'][0]!r}",
            f"the ids of the images are such as {listing.items['item_id'][0]!r}; it is the table "
            "of another data set, or dataset.id names another column than it did",
        )
    warnings = [*listing.warnings]
    if others:
        warnings.append(f"{others} of {masks.height} masks in {options.masks} are of no image here")
    return replace(listing, items=items, warnings=warnings)


def _read(url: str, allow_outside: bool) -> pl.DataFrame:
    """Columns item_id and mask, a full location, of the rows with a mask."""
    options = DatasetOptions.model_construct(path=url, id="id", image="mask", mask="mask")
    try:
        table = MaskTable(options).read()
    except ConfigError as error:
        raise ConfigError(_FIELD, f"{url}: {error.value}", error.remedy) from None
    table = table.filter(pl.col("mask").fill_null("") != "")
    if not table.height:
        raise ConfigError(_FIELD, url, "it holds no mask; name a table with the columns id, mask")
    twice = table.filter(pl.col("item_id").is_duplicated() | pl.col("item_id").is_null())
    if twice.height:
        raise ConfigError(
            _FIELD, f"{url}: the id {twice['item_id'][0]!r}", "give every mask an id of its own"
        )
    base = storage.parent(url)
    check_paths(table["mask"], base, "masks", allow_outside)
    whole = pl.col("mask").str.contains(ABSOLUTE)
    joined = base.rstrip("/") + "/" + pl.col("mask")
    return table.with_columns(pl.when(whole).then("mask").otherwise(joined).alias("mask"))


class MaskTable(TableSource):
    """A table with the columns id and mask."""

    def read(self) -> pl.DataFrame:
        """Columns item_id and mask.

        Raises:
            ConfigError: It cannot be read, or lacks one of them.
        """
        table = self._read()
        ids, masks = self._texts(table, "id"), self._texts(table, "mask")
        return pl.DataFrame({"item_id": ids, "mask": masks})
