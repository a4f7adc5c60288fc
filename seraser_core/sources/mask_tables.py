"""Masks from a table of their own, for a data set of any format."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from seraser_core import storage
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError
from seraser_core.sources.missing import known
from seraser_core.sources.paths import clean_paths, same_files
from seraser_core.sources.source import ABSOLUTE, Listing, check_paths
from seraser_core.sources.table import TableSource

_FIELD = "dataset.masks"


def with_masks(listing: Listing, options: DatasetOptions) -> Listing:
    """The listing with the masks of the table ``dataset.masks``, joined by item_id.

    Raises:
        ConfigError: The table cannot be read, names an id twice, or no image of the data set.
    """
    if options.masks is None:
        return listing
    said: list[str] = []
    masks = _read(options.masks, options.allow_outside, said)
    ids = _as_spelt_in(listing.items["item_id"], masks["item_id"])
    masks = _once(masks.with_columns(ids), options.masks, said)
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
    warnings = [*listing.warnings, *(f"{options.masks}: {line}" for line in said)]
    if others:
        warnings.append(f"{others} of {masks.height} masks in {options.masks} are of no image here")
    return replace(listing, items=items, warnings=warnings)


def _read(url: str, allow_outside: bool, said: list[str]) -> pl.DataFrame:
    """Columns item_id and mask, a full location, of the rows with a mask."""
    options = DatasetOptions.model_construct(path=url, id="id", image="mask", mask="mask")
    source = MaskTable(options)
    try:
        table = source.read()
    except ConfigError as error:
        raise ConfigError(_FIELD, f"{url}: {error.value}", error.remedy) from None
    said += source.said
    table = table.with_columns(known(table["mask"], (), "mask", "mask", said))
    table = table.filter(pl.col("mask").fill_null("") != "")
    if not table.height:
        raise ConfigError(_FIELD, url, "it holds no mask; name a table with the columns id, mask")
    base = storage.parent(url)
    paths = clean_paths(table["mask"], base, "masks", {}, said)
    check_paths(paths, base, "masks", allow_outside)
    whole = pl.col("mask").str.contains(ABSOLUTE)
    joined = base.rstrip("/") + "/" + pl.col("mask")
    table = table.with_columns(paths.alias("mask"))
    return table.with_columns(pl.when(whole).then("mask").otherwise(joined).alias("mask"))


def _as_spelt_in(ids: pl.Series, given: pl.Series) -> pl.Series:
    """Return ids as the data set spells them, where it has one that means the same."""
    alike = pl.DataFrame({"key": _meant(ids), "known": ids}).filter(pl.col("key").is_unique())
    table = pl.DataFrame({"given": given, "key": _meant(given), "row": range(len(given))})
    table = table.join(alike, on="key", how="left").sort("row")
    exact = pl.col("given").is_in(ids.implode())
    own = pl.when(exact | pl.col("known").is_null()).then("given").otherwise("known")
    return table.select(own.alias("item_id"))["item_id"]


def _meant(ids: pl.Series) -> pl.Series:
    """Return equal texts for different spellings of a path or number."""
    texts = ids.str.normalize("NFC").str.replace_all("\\", "/", literal=True)
    texts = texts.str.replace_all(r"(^|/)(\./+)+", "$1").str.replace_all("//+", "/")
    return texts.str.replace(r"^([0-9]+)\.0+$", "$1")  # a column of numbers with gaps has floats


def _once(masks: pl.DataFrame, url: str, said: list[str]) -> pl.DataFrame:
    """The masks without rows that repeat others.

    Raises:
        ConfigError: An image has two masks, or a mask no id.
    """
    base = storage.parent(url)
    file = same_files(masks["mask"], base).alias("file")
    once = masks.with_columns(file).unique(["item_id", "file"], keep="first", maintain_order=True)
    wrong = once.filter(pl.col("item_id").is_duplicated() | pl.col("item_id").is_null())
    if wrong.height:
        raise ConfigError(
            _FIELD, f"{url}: the id {wrong['item_id'][0]!r}", "give every mask an id of its own"
        )
    if once.height < masks.height:
        said.append(f"{masks.height - once.height} rows repeat other rows")
    return once.drop("file")


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
