"""Data sets whose images are cells of Parquet files, as the Hugging Face hub keeps them."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from seraser_core import storage
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ChangedError, ConfigError, TransientError
from seraser_core.sources.cells import cells_without_bytes, first_path, is_picture, mean_sizes
from seraser_core.sources.names import attribute_names, class_names, finder
from seraser_core.sources.patterns import expand, short_names
from seraser_core.sources.source import Listing
from seraser_core.sources.table import TableSource, no_column, several_columns
from seraser_core.sources.table_file import PARQUET_ENDINGS, no_file
from seraser_core.sources.texts import check_text

_START = 4096
_NO_LABEL = "-1"
"""Label of images without one, as test splits on the Hugging Face hub have it."""


class ParquetSource(TableSource):
    """One row per image, whose bytes are in the row; see `seraser_core.sources.cells`.

    Without an id column the id of an image is its file's name and its row. Classes and attributes
    that are not configured are those of the label features that Hugging Face's writers record.
    """

    def __init__(self, options: DatasetOptions, cache: str = "") -> None:
        super().__init__(options, cache)
        self._features: dict[str, list[str]] = {}
        self._cells: dict[str, tuple[int, int]] = {}
        self._example: dict[str, str | None] = {}

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
        table = self._without_missing(table, classes)
        named = attribute_names(options) or self._features.get(options.attribute or "", [])
        attributes = named or self._found_attributes(table)
        for setting, names in (("label", classes), ("attribute", attributes)):
            table = self._by_name(table, setting, names)
        items = pl.DataFrame(
            {
                "item_id": self._texts(table, "id") if options.id else ids,
                "image": urls,
                "offset": places["row"],
                "label": self._indices(table, "label", classes, "dataset.classes"),
                "attribute": self._indices(
                    table, "attribute", attributes, "dataset.attributes", not named
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
        """Read the columns without pictures, and the place of every row: name, url, row, bytes of
        the row, version of the file."""
        urls = list(expand(self.options, PARQUET_ENDINGS, self.said))
        tables, places, empty = [], [], []
        for url, name in zip(urls, short_names(urls, self.options.path), strict=True):
            table, place = self._read_file(url)
            if not place.height:
                empty.append(url)
                continue
            tables.append(table)
            places.append(place.with_columns(pl.lit(name).alias("name")))
        if not tables:
            raise ConfigError("dataset.path", self.options.path, "no row is in its files")
        if empty:
            self.said.append(f"{len(empty)} files hold no rows, e.g. {empty[0]}")
        for setting in ("image", "mask"):
            self._check_cells(setting)
        return pl.concat(tables, how="vertical_relaxed"), pl.concat(places)

    def _read_file(self, url: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        """See `_read_files`; of one file. Whatever columns one without rows has does not matter."""
        try:
            version = storage.version(url, self.options.storage_options)
            with storage.open_file(url, self.options.storage_options, version) as opened:
                start = opened.read(_START)
                if not start:
                    return pl.DataFrame(), pl.DataFrame()
                if not start.startswith(b"PAR1"):
                    check_text(start)
                file = pq.ParquetFile(opened)
                if not file.metadata.num_rows:
                    return pl.DataFrame(), pl.DataFrame()
                schema = file.schema_arrow
                names = self._check_columns(schema, url)
                self._add_features(label_features(schema), url)
                table = pl.DataFrame(file.read(columns=names).select(names))
                sizes = mean_sizes(file)
                self._count_cells(file)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise no_file(url, "name the files in it, such as <path>/*.parquet") from None
        except (pa.ArrowException, pl.exceptions.PolarsError):
            raise ConfigError(
                "dataset.path", url, "is no whole Parquet file; write or fetch it again"
            ) from None
        except (TransientError, ChangedError, OSError, ValueError, ImportError) as error:
            raise ConfigError(
                "dataset.path", url, f"cannot be read as Parquet: {str(error)[:300]}"
            ) from None
        # Files may have other types of the same values.
        texts = dict.fromkeys(name for name in self._text_columns().values() if name in names)
        table = table.with_columns(self._texts(table, self._setting(name), name) for name in texts)
        places = pl.DataFrame({"row": range(len(sizes)), "bytes": sizes})
        return table, places.with_columns(
            pl.lit(url).alias("url"), pl.lit(version).alias("version")
        )

    def _setting(self, column: str) -> str:
        return next(setting for setting, name in self._text_columns().items() if name == column)

    def _count_cells(self, file: pq.ParquetFile) -> None:
        """Count the cells of pictures, and those that hold no bytes."""
        for setting in ("image", "mask"):
            column = getattr(self.options, setting)
            if column is not None:
                lacking, seen = cells_without_bytes(file, column)
                before = self._cells.get(setting, (0, 0))
                self._cells[setting] = before[0] + lacking, before[1] + seen
                if lacking == seen:
                    self._example.setdefault(setting, first_path(file, column))

    def _check_cells(self, setting: str) -> None:
        """Report how many cells hold no bytes.

        Raises:
            ConfigError: None does.
        """
        lacking, seen = self._cells.get(setting, (0, 0))
        column = getattr(self.options, setting)
        if lacking and lacking == seen:
            path = self._example.get(setting)
            raise ConfigError(
                f"dataset.{setting}",
                f"no cell of {column!r} holds bytes"
                + (f", but paths such as {path!r}" if path else ""),
                "write the data set with the bytes of its files, or its paths as a column of texts "
                "and use format: table",
            )
        if lacking:
            self.said.append(
                f"{lacking} of {seen} cells of {column!r} hold no bytes; those images become error "
                "rows"
            )

    def _add_features(self, features: dict[str, list[str]], url: str) -> None:
        for column in {self.options.label, self.options.attribute} & features.keys():
            names = features[str(column)]
            twice = [name for name, times in Counter(names).items() if times > 1]
            setting = "classes" if column == self.options.label else "attributes"
            if twice and not getattr(self.options, setting):
                raise ConfigError(
                    f"dataset.{setting}",
                    f"{twice[0]!r} more than once",
                    f"of {column!r}, {url} records this name for several labels, and names must "
                    f"differ; list a name for each label, in its order, in dataset.{setting}",
                )
            if self._features.setdefault(str(column), names) != names:
                raise ConfigError(
                    "dataset.path",
                    url,
                    f"its labels of {column!r} stand for other names than in the files before",
                )

    def _by_name(self, table: pl.DataFrame, setting: str, names: list[str]) -> pl.DataFrame:
        """Replace indices in a column by the recorded names.

        Only where a configured name is a recorded one of another index: those of other words are
        taken to be in the same order.

        Raises:
            ConfigError: One is, and of another that is used, none is.
        """
        column = getattr(self.options, setting)
        recorded = self._features.get(column or "", [])
        if len(set(recorded)) < len(recorded):
            return table  # a name tells no index
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
        """Replace by null the index that Hugging Face's label features use for no label."""
        column = getattr(self.options, setting)
        if column not in self._features:
            return table
        none = (self._texts(table, setting) == _NO_LABEL).fill_null(False)
        if not none.any():
            return table
        warnings.append(f"{none.sum()} rows have {_NO_LABEL} in {column!r}, which is no {setting}")
        return table.with_columns(pl.when(~none).then(pl.col(column)))

    def _check_columns(self, schema: pa.Schema, url: str) -> list[str]:
        """Check the columns, and return those to read, without pictures.

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
    # Cells of both kinds are bytes.
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (is_picture(plain) or pa.types.is_fixed_size_binary(plain)):
        raise ConfigError(
            f"dataset.{setting}",
            f"column {name!r} of type {kind}",
            "must hold bytes, or {bytes, path}; for paths of image files use format: table",
        )


def label_features(schema: pa.Schema) -> dict[str, list[str]]:
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
