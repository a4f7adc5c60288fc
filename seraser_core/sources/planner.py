"""The planner: list the source once, check it, sort it, cut it into shards."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from seraser_core import storage
from seraser_core.config.classes import names_of, numbered_labels
from seraser_core.config.formats import offered_formats
from seraser_core.config.options import DatasetOptions, RunConfig, ShardOptions
from seraser_core.errors import ConfigError
from seraser_core.plugins import resolve
from seraser_core.proxies import has_proxies
from seraser_core.sources.checked_listing import list_images
from seraser_core.sources.class_files import read_entries
from seraser_core.sources.groups import check_groups, train_counts
from seraser_core.sources.items import ITEMS_SCHEMA, ShardRange
from seraser_core.sources.mask_tables import with_masks
from seraser_core.sources.names import doubtful_names
from seraser_core.sources.source import ABSOLUTE, Listing, Source

logger = logging.getLogger(__name__)
_ROWS_AT_ONCE = 200_000
_CACHE = ".listings"
"""Folder beside the runs for the caches of sources, see `Source`."""


@dataclass(frozen=True)
class PlannedItems:
    """The plan of a run.

    Attributes:
        table: ITEMS_SCHEMA, sorted by item_id, item_index = 0..n-1.
        classes: Class names as they are put into prompts and shown, index = label.
        labels: Label of each class in the data: another name, or the same.
        attributes: Attribute names, index = attribute; empty when unknown.
        shards: Ranges that cover all items once, in order.
        source: Facts about the listing, for the record.
        template: Prompt template of the data set, for when the configuration names none.
        train_counts: Group -> images in the training split, see `sources.groups`.
    """

    table: pa.Table
    classes: list[str]
    labels: list[str]
    attributes: list[str]
    shards: list[ShardRange]
    source: dict[str, Any]
    template: str | None
    train_counts: dict[str, int]


def plan_items(config: RunConfig, report: Callable[[str], None] | None = None) -> PlannedItems:
    """List and check the data set of `config`.

    Args:
        config: The run.
        report: Called with one line of text per finished step.

    Raises:
        ConfigError: The data set cannot be used as configured; names field, value and remedy.
    """
    said: list[str] = []
    dataset = config.dataset.model_copy(update={"classes": read_entries(config.dataset, said)})
    for option in ("classes", "attributes"):
        given = getattr(dataset, option)
        said += [f"dataset.{option}: {line}" for line in numbered_labels(given or ())]
    cache = storage.join(config.output, _CACHE)
    listing = with_masks(_listing(dataset, cache), dataset)
    check_needs(config, listing)
    if len(listing.classes) < 2:
        raise ConfigError("dataset.classes", listing.classes, "name at least two classes")
    labels, listing = listing.classes, with_names(dataset, listing)
    counts = count_labels(listing)
    labelled = offered_formats().members[dataset.format].labelled or dataset.label is not None
    if labelled or any(counts.values()):
        empty = [label for label, n in zip(labels, counts.values(), strict=True) if not n]
        if empty and not (dataset.allow_empty_classes or listing.sparse):
            raise ConfigError(
                "dataset.classes",
                f"no image of {', '.join(map(repr, empty[:5]))}"
                + (f" and {len(empty) - 5} more" if len(empty) > 5 else ""),
                "check the order and spelling of the classes, or set "
                "dataset.allow_empty_classes to true",
            )
    for name, setting in (("item_id", "id" if dataset.id else "image"), ("image", "image")):
        lacking = listing.items[name].null_count()
        if lacking:
            raise ConfigError(
                f"dataset.{setting}", f"{lacking} empty cells", f"every row needs an {setting}"
            )
    _check_proxies(listing.items, dataset.storage_options)
    # Strings sort by their UTF-8 bytes, so the order is the same everywhere.
    listing = replace(listing, items=listing.items.sort("item_id"))  # frees the unsorted one
    items = listing.items
    repeated = items["item_id"].filter(items["item_id"] == items["item_id"].shift(1))
    if len(repeated):
        raise ConfigError(
            "dataset.id" if dataset.id else "dataset.image",
            f"{repeated[0]!r} appears more than once",
            "ids must be unique; name a column with unique ids in dataset.id",
        )
    shards = cut_shards(items["size"].fill_null(0).to_numpy(), config.shard)
    if report:
        shown = {name: n for name, n in counts.items() if n or not listing.sparse}
        sizes = ", ".join(f"{name} {n}" for name, n in list(shown.items())[:10])
        more = ", ..." if len(shown) > 10 else ""
        report(f"{items.height} images: {sizes + more if any(counts.values()) else 'no labels'}")
        for warning in [*said, *listing.warnings, *doubtful_names(listing.classes)]:
            report(f"WARNING: {warning}")
        for name in ("label", "attribute", "mask", "box"):
            lacking = items[name].null_count()
            given = getattr(dataset, name, None) is not None or lacking < items.height
            if lacking and given:
                report(f"WARNING: {lacking} of {items.height} images have no {name}")
    check_groups(listing, report or logger.info)
    weights = train_counts(dataset.train_counts, listing, report or logger.info)
    table = _to_arrow(items, listing.base)
    source = {
        "format": dataset.format,
        "path": dataset.path,
        "images": table.num_rows,
        "images_of_class": counts,
        **listing.facts,
    }
    return PlannedItems(
        table,
        listing.classes,
        labels,
        listing.attributes,
        shards,
        source,
        listing.template,
        weights,
    )


def _listing(dataset: DatasetOptions, cache: str) -> Listing:
    formats, name = offered_formats(), dataset.format
    place, origin = formats.members[name].implementation, formats.origins.get(name)
    source: type[Source] = resolve(place, Source, "dataset.format", origin)
    return list_images(source, dataset, cache, origin)


def _check_proxies(items: pl.DataFrame, options: storage.Options) -> None:
    """Check that the proxies for images and masks answer.

    Raises:
        ConfigError: One is not.
    """
    if not has_proxies():
        return
    for name in ("image", "mask"):
        paths = items[name].cast(pl.String)
        servers = paths.str.extract(r"^(https?://[^/?#]+|s3a?://[^/]+)").drop_nulls()
        for server in servers.unique():
            storage.at(server, options).prepare()


def check_needs(config: RunConfig, listing: Listing) -> None:
    """Refuse methods that need masks or boxes which the data set does not have.

    Raises:
        ConfigError: No image has a mask or box.
    """
    for method in config.methods:
        for need in [region.name for region in method.regions() if not region.made]:
            if listing.items[need].null_count() == listing.items.height:
                kind = getattr(method, "auxiliary", None)
                asks = "" if kind is None else f"has auxiliary {kind!r} and "
                named = getattr(config.dataset, need)
                raise ConfigError(
                    f"dataset.{need}",
                    "not given" if named is None else f"{named!r}, of which no image has one",
                    f"method {method.id!r} {asks}needs it; name the {need} column or choose "
                    "auxiliary: relevance",
                )


def with_names(dataset: DatasetOptions, listing: Listing) -> Listing:
    """Return a listing with the names of classes and attributes for prompts and tables."""
    given = names_of(dataset.classes) if isinstance(dataset.classes, list) else listing.classes
    attributes = names_of(dataset.attributes or listing.attributes)
    return replace(listing, classes=listing.names or given, attributes=attributes)


def count_labels(listing: Listing) -> dict[str, int]:
    """Images of every class, in the order of the classes."""
    images = listing.items["label"].drop_nulls().value_counts()
    counts = dict(zip(images["label"], images["count"], strict=True))
    return {name: int(counts.get(i, 0)) for i, name in enumerate(listing.classes)}


def cut_shards(sizes: np.ndarray, limits: ShardOptions) -> list[ShardRange]:
    """Contiguous ranges of at most max_items items and max_bytes bytes (a larger item is alone).

    Args:
        sizes: (n,) bytes of every item, 0 where unknown.
        limits: The limits.
    """
    total = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    shards: list[ShardRange] = []
    start, count = 0, len(sizes)
    while start < count:
        fitting_count = (
            int(np.searchsorted(total, total[start] + limits.max_bytes, side="right")) - 1
        )
        stop = min(count, start + limits.max_items, max(start + 1, fitting_count))
        shards.append(ShardRange(f"{len(shards):05d}", start, stop))
        start = stop
    return shards


def _to_arrow(items: pl.DataFrame, base: str) -> pa.Table:
    """ITEMS_SCHEMA of `items`, which is emptied: both at once would take twice the memory.

    Relative paths begin at `base`.
    """
    rows, columns = items.height, []
    for field in ITEMS_SCHEMA:
        if field.name == "item_index":
            columns.append(pa.chunked_array([np.arange(rows)]))
        elif field.name not in items.columns or items[field.name].null_count() == rows:
            columns.append(_nulls(rows, field.type))
        else:
            series = items.drop_in_place(field.name)
            parts = (series.slice(i, _ROWS_AT_ONCE) for i in range(0, rows, _ROWS_AT_ONCE))
            if base and field.name in ("image", "mask"):
                parts = (_locate(part, base) for part in parts)
            arrays = [part.to_arrow().cast(field.type) for part in parts]
            columns.append(pa.chunked_array(arrays, field.type))
            del series, parts  # before the next column is copied
    return pa.Table.from_arrays(columns, schema=ITEMS_SCHEMA)


def _nulls(rows: int, kind: pa.DataType) -> pa.ChunkedArray:
    """A column of nulls, in the memory of a part of it."""
    part = pa.nulls(min(rows, _ROWS_AT_ONCE), kind)
    parts = (part.slice(0, rows - start) for start in range(0, rows, _ROWS_AT_ONCE))
    return pa.chunked_array(parts, kind)


def _locate(paths: pl.Series, base: str) -> pl.Series:
    joined = base.rstrip("/") + "/" + pl.col(paths.name)
    whole = pl.when(pl.col(paths.name).str.contains(ABSOLUTE)).then(pl.col(paths.name))
    return paths.to_frame().select(whole.otherwise(joined).alias(paths.name))[paths.name]
