"""Listings of sources from other packages, which are checked before they are planned with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl

from seraser_core import storage
from seraser_core.config.option_group import is_template
from seraser_core.config.options import DatasetOptions
from seraser_core.display import kind_of
from seraser_core.errors import ConfigError, SeraserError
from seraser_core.plugins import remedy_for
from seraser_core.sources.source import Listing, Source, check_paths

_TEXTS = ("item_id", "image")
_TEXTS_OR_NULL = ("mask", "version")
_NUMBERS = ("label", "attribute", "size", "offset", "length", "mask_offset", "mask_length")
_NEEDED = (*_TEXTS, "label", "attribute", "mask", "box", "size")
_INT32, _INT64 = 2**31, 2**63


def list_images(
    source: type[Source], options: DatasetOptions, cache: str, origin: str | None
) -> Listing:
    """List a data set.

    Args:
        source: Class of its source.
        options: The data set.
        cache: See `Source`.
        origin: Distribution and version of the source; None if it is ours.

    Raises:
        ConfigError: The data set cannot be used as configured, or a source of another package
            fails or breaks the rules of a `Listing`.
    """
    if origin is None:
        return source(options, cache).listing()
    try:
        listing = source(options, cache).listing()
    except SeraserError:
        raise
    except (Exception, SystemExit) as error:  # anything can go wrong in the code of others
        raise _wrong(options, origin, f"ends in {type(error).__name__}: {error}") from error
    check_listing(listing, options, origin)
    return replace(listing, items=_typed(listing.items))


def check_listing(listing: object, options: DatasetOptions, origin: str) -> None:
    """Refuse a listing that breaks the rules of `Listing`, or paths out of the data set.

    Args:
        listing: The listing of a source.
        options: The data set.
        origin: Distribution and version of the source.

    Raises:
        ConfigError: Names the first fault.
    """
    if not isinstance(listing, Listing):
        raise _wrong(options, origin, f"lists {kind_of(listing)}, no Listing")
    fault = next(_faults(listing, options), None)
    if fault is not None:
        raise _wrong(options, origin, fault)
    _check_places(listing, options)


def _wrong(options: DatasetOptions, origin: str, fault: str) -> ConfigError:
    value = f"{options.format!r} of {origin} {fault}"
    return ConfigError("dataset.format", value, f"check dataset.path, or {remedy_for(origin)}")


def _faults(listing: Listing, options: DatasetOptions) -> Iterator[str]:
    """Yield what breaks the rules; each rule relies on those before it."""
    for field in ("classes", "attributes"):
        yield from _name_faults(listing, field, getattr(options, field))
    names = listing.names
    if names is not None and not (_is_texts(names) and len(names) == len(listing.classes)):
        yield f"has names {names!r:.100} for {len(listing.classes)} classes"
    yield from _column_faults(listing.items)
    if not listing.items.height:
        yield "lists no image"
    yield from _value_faults(listing)
    yield from _record_faults(listing)


def _name_faults(listing: Listing, field: str, wanted: object) -> Iterator[str]:
    names = getattr(listing, field)
    if not _is_texts(names):
        yield f"has {field} {names!r:.100}, no list of texts"
    name, times = next(iter(Counter(names).most_common(1)), ("", 0))
    if times > 1:
        yield f"has {name!r} more than once in its {field}"
    if isinstance(wanted, list) and names and len(wanted) != len(names):
        yield f"has {len(names)} {field}, and dataset.{field} names {len(wanted)}"


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _column_faults(items: object) -> Iterator[str]:
    if not isinstance(items, pl.DataFrame):
        yield f"has {kind_of(items)} as items, no polars.DataFrame"
        return
    missing = [name for name in _NEEDED if name not in items.columns]
    if missing:
        yield f"lists items without the column {missing[0]!r}"
    for name, dtype in items.schema.items():
        if name not in _TEXTS and dtype == pl.Null:
            continue
        if name in (*_TEXTS, *_TEXTS_OR_NULL) and dtype != pl.String:
            yield f"lists items with {dtype} in the column {name!r}, no texts"
        if name in _NUMBERS and not dtype.is_integer():
            yield f"lists items with {dtype} in the column {name!r}, no integers"
        if name == "box" and not _is_box(dtype):
            yield f"lists items with {dtype} in the column {name!r}, no lists of numbers"


def _is_box(dtype: pl.DataType) -> bool:
    # Polars makes lists of nulls of null boxes when it reverses their order.
    return isinstance(dtype, pl.List) and (dtype.inner.is_numeric() or dtype.inner == pl.Null)


def _value_faults(listing: Listing) -> Iterator[str]:
    items = listing.items
    most = {"label": len(listing.classes), "attribute": len(listing.attributes) or _INT32}
    for name in [name for name in _NUMBERS if name in items.columns]:
        bound = most.get(name, _INT64)
        strange = [value for value in _ends(items[name]) if not 0 <= value < bound]
        if strange:
            of = f" of {bound}" if name in most else ""
            yield f"lists an image with the {name} {strange[0]}{of}"
    boxes = items["box"].drop_nulls()
    if len(boxes) and (boxes.list.len() != 4).any():
        yield "lists a box without four numbers"


def _ends(values: pl.Series) -> list[int]:
    """Return the least and the greatest of some integers, if there are any."""
    known = values.drop_nulls().sort()
    return [int(known[0]), int(known[-1])] if len(known) else []


def _record_faults(listing: Listing) -> Iterator[str]:
    """Faults of what is recorded with the images."""
    if not isinstance(listing.base, str):
        yield f"has the base {listing.base!r}, no text"
    if listing.template is not None and not (
        isinstance(listing.template, str) and is_template(listing.template)
    ):
        yield f"has the template {listing.template!r}, which must hold {{}} once"
    if not _is_texts(listing.warnings):
        yield f"has warnings {listing.warnings!r:.100}, no list of texts"
    try:
        json.dumps(listing.facts, allow_nan=False)
        named = isinstance(listing.facts, dict) and _is_texts(list(listing.facts))
    except (TypeError, ValueError):
        named = False
    if not named:
        yield f"has facts {listing.facts!r:.100}, which cannot be written as JSON"
    yield from _count_faults(listing)


def _count_faults(listing: Listing) -> Iterator[str]:
    labels, places = len(listing.classes), len(listing.attributes) or _INT32
    if not isinstance(listing.train_counts, dict):
        yield f"has train_counts {listing.train_counts!r:.100}, no dict"
    for group, images in listing.train_counts.items():
        match group, images:
            case ((int(label), int(place)), int(n)) if (
                0 <= label < labels and 0 <= place < places and n >= 0
            ):
                continue
        yield f"has {images!r} in train_counts for the group {group!r}"


def _typed(items: pl.DataFrame) -> pl.DataFrame:
    """Return items with types for the columns in which nothing is known."""
    types: dict[str, pl.DataType] = {"box": pl.List(pl.Float64)}
    types |= {name: pl.String() for name in _TEXTS_OR_NULL}
    types |= {name: pl.Int64() for name in _NUMBERS}
    loose = ["box", *(name for name in types if items.schema.get(name) == pl.Null)]
    return items.with_columns(pl.col(name).cast(types[name]) for name in dict.fromkeys(loose))


def _check_places(listing: Listing, options: DatasetOptions) -> None:
    """Refuse files outside of the data set: of its folder, or of that in which its file lies.

    Raises:
        ConfigError: Names one, unless ``dataset.allow_outside`` is true.
    """
    here = storage.local_path(options.path)
    is_folder = here is not None and Path(here).is_dir()
    root = options.path if is_folder else storage.parent(options.path)
    bases = [f"{listing.base.rstrip('/')}/"] if listing.base else []
    columns = (listing.items[name].drop_nulls().cast(pl.String) for name in ("image", "mask"))
    for paths in (pl.Series(bases, dtype=pl.String), *columns):
        check_paths(paths, root, "path", options.allow_outside, remote=True)
