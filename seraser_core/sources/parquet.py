"""Data sets whose images are cells of Parquet files, as the Hugging Face hub keeps them."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from seraser_core import storage
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ChangedError, ConfigError, TransientError
from seraser_core.sources.base import Listing
from seraser_core.sources.cells import is_picture
from seraser_core.sources.names import attribute_names, class_names, finder
from seraser_core.sources.patterns import expand, short_names
from seraser_core.sources.table import TableSource, no_column, several_columns

_NO_LABEL = "-1"
"""Of Hugging Face's label features, as their test splits have it."""


class ParquetSource(TableSource):
    """One row per image, whose bytes are in the row; see `seraser_core.sources.cells`.

    Without an id column the id of an image is its file's name and its row. Classes and attributes
    that are not configured are those of the label features that Hugging Face's writers record.
    """

    def __init__(self, options: DatasetOptions, cache: str = "") -> None:
        super().__init__(options, cache)
        self._features: dict[str, list[str]] = {}

    def listing(self) -> Listing:
        """See `Source.listing`."""
        options = self.options
        table, places = self._read_files()
        rows, chosen = table.height, self._chosen(table)
        table, places = table.filter(chosen), places.filter(chosen)
        urls = places["url"]
        ids = places["name"] + "/" + places["row"].cast(pl.String).str.zfill(9)
        warnings = self.said
        for setting in ("label", "attribute"):
            table = self._without_no_label(table, setting, warnings)
        classes = class_names(options) or self._features.get(options.label or "", [])
        known = attribute_names(options) or self._features.get(options.attribute or "", [])
        attributes = known or self._found_attributes(table)
        for setting, names in (("label", classes), ("attribute", attributes)):
            table = self._by_name(table, setting, names)
        items = pl.DataFrame(
            {
                "item_id": self._texts(table, "id") if options.id else ids,
                "image": urls,
                "offset": places["row"],
                "label": self._indices(table, "label", classes, "dataset.classes"),
                "attribute": self._indices(
                    table, "attribute", attributes, "dataset.attributes", not known
                ),
                "mask": urls if options.mask else pl.Series([None] * len(urls), dtype=pl.String),
                "box": self._boxes(table),
                "size": places["bytes"],
                "version": places["version"],
            }
        )
        if options.mask:
            items = items.with_columns(places["row"].alias("mask_offset"))
        self._check_ids(items)
        facts = {"rows": rows, "rows_of_split": len(urls), "files": urls.n_unique()}
        return Listing(items, classes, attributes, facts, warnings=warnings)

    def _read_files(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The columns that are no pictures, and for every row its place: name, url, row, bytes of
        the row, version of the file."""
        urls = list(expand(self.options))
        tables, places = [], []
        for url, name in zip(urls, short_names(urls), strict=True):
            table, place = self._read_file(url)
            tables.append(table)
            places.append(place.with_columns(pl.lit(name).alias("name")))
        try:
            return pl.concat(tables, how="vertical_relaxed"), pl.concat(places)
        except pl.exceptions.PolarsError as error:
            raise ConfigError(
                "dataset.path", self.options.path, f"its files have different columns: {error}"
            ) from None

    def _read_file(self, url: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        """See `_read_files`; of one file."""
        try:
            version = storage.version(url, self.options.storage_options)
            with storage.open_file(url, self.options.storage_options, version) as opened:
                file = pq.ParquetFile(opened)
                schema = file.schema_arrow
                names = self._check_columns(schema, url)
                self._add_features(_label_features(schema), url)
                table = pl.DataFrame(file.read(columns=names).select(names))
                sizes = _mean_sizes(file)
        except FileNotFoundError:
            raise ConfigError("dataset.path", url, "there is no such file") from None
        except (
            pa.ArrowException,
            pl.exceptions.PolarsError,
            TransientError,
            ChangedError,
            OSError,
            ImportError,
        ) as error:
            raise ConfigError(
                "dataset.path", url, f"cannot be read as Parquet: {str(error)[:300]}"
            ) from None
        places = pl.DataFrame({"row": range(len(sizes)), "bytes": sizes})
        return table, places.with_columns(
            pl.lit(url).alias("url"), pl.lit(version).alias("version")
        )

    def _add_features(self, found: dict[str, list[str]], url: str) -> None:
        for column in {self.options.label, self.options.attribute} & found.keys():
            names = found[str(column)]
            if self._features.setdefault(str(column), names) != names:
                raise ConfigError(
                    "dataset.path",
                    url,
                    f"its labels of {column!r} stand for other names than in the files before",
                )

    def _by_name(self, table: pl.DataFrame, setting: str, names: list[str]) -> pl.DataFrame:
        """The table with the recorded names of a column in place of their indices.

        Only where a configured name is a recorded one of another index: those of other words are
        taken to be in the same order.

        Raises:
            ConfigError: One is, and of another that is used, none is.
        """
        column = getattr(self.options, setting)
        recorded = self._features.get(column or "", [])
        place_of = finder(names)
        places = {
            i: place for i, name in enumerate(recorded) if (place := place_of(name)) is not None
        }
        moved = [(i, place) for i, place in places.items() if i != place]
        if not moved:
            return table
        indices = self._indices(table, setting, recorded, f"the label feature {column!r}")
        used = sorted(indices.drop_nulls().unique())
        unknown = [recorded[i] for i in used if i not in places]
        if unknown:
            index, place = moved[0]
            plural = "classes" if setting == "label" else "attributes"
            raise ConfigError(
                f"dataset.{plural}",
                f"{names[place]!r} at index {place}",
                f"the file's label feature {column!r} has it at index {index}, and "
                f"{unknown[0]!r}, which is not among the {plural}; give the names in its order, "
                "or its own names in any order",
            )
        named = indices.replace_strict(
            used,
            [names[places[i]] for i in used],
            default=None,
            return_dtype=pl.String,
        )
        return table.with_columns(named.alias(column))

    def _without_no_label(
        self, table: pl.DataFrame, setting: str, warnings: list[str]
    ) -> pl.DataFrame:
        """The table with nulls for what Hugging Face's label features call no label."""
        column = getattr(self.options, setting)
        if column not in self._features:
            return table
        none = (self._texts(table, setting) == _NO_LABEL).fill_null(False)
        if not none.any():
            return table
        warnings.append(f"{none.sum()} rows have {_NO_LABEL} in {column!r}, which is no {setting}")
        return table.with_columns(pl.when(~none).then(pl.col(column)))

    def _check_columns(self, schema: pa.Schema, url: str) -> list[str]:
        """The columns to read, which are not those of pictures.

        Raises:
            ConfigError: A column is missing, there several times, or not of its kind.
        """
        pictures = {self.options.image, self.options.mask}
        wanted: dict[str, None] = {}
        for setting, name in self._columns():
            count = schema.names.count(name)
            if not count:
                raise no_column(setting, name, schema.names, url)
            if count > 1:
                raise several_columns(setting, name, count, url)
            kind = schema.field(name).type
            if setting in ("image", "mask"):
                _check_picture(setting, name, kind)
            elif name in pictures:
                raise ConfigError(
                    f"dataset.{setting}",
                    f"column {name!r} of type {kind}",
                    "holds pictures; name a column of texts or numbers",
                )
            else:
                _check_plain(setting, name, kind)
                wanted[name] = None
        return list(wanted)


def _check_plain(setting: str, name: str, kind: pa.DataType) -> None:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    types = pa.types
    numbers = (types.is_integer, types.is_floating, types.is_decimal32, types.is_decimal64)
    known = [*numbers, types.is_decimal128, types.is_null]
    if setting != "box":
        known += [types.is_string, types.is_large_string, types.is_string_view, types.is_boolean]
        known += [types.is_binary, types.is_large_binary, types.is_binary_view]
        known += [types.is_fixed_size_binary, types.is_date, types.is_time, types.is_timestamp]
    if not any(is_kind(plain) for is_kind in known):
        raise ConfigError(
            f"dataset.{setting}",
            f"column {name!r} of type {kind}",
            "must hold numbers" if setting == "box" else "must hold texts or numbers",
        )


def _check_picture(setting: str, name: str, kind: pa.DataType) -> None:
    # A cell of either is bytes as any other's.
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (is_picture(plain) or pa.types.is_fixed_size_binary(plain)):
        raise ConfigError(
            f"dataset.{setting}",
            f"column {name!r} of type {kind}",
            "must hold bytes, or {bytes, path}; for paths of image files use format: table",
        )


def _mean_sizes(file: pq.ParquetFile) -> list[int]:
    """Bytes of every row, as far as its row group tells."""
    sizes: list[int] = []
    for index in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(index)
        sizes += [group.total_byte_size // max(1, group.num_rows)] * group.num_rows
    return sizes


def _label_features(schema: pa.Schema) -> dict[str, list[str]]:
    """Column -> names of its labels, from the metadata that Hugging Face's writers add."""
    try:
        document: Any = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = document["info"]["features"]
        return {
            name: [str(label) for label in feature["names"]]
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
