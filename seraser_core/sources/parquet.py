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
from seraser_core.sources.names import class_names
from seraser_core.sources.patterns import expand, short_names
from seraser_core.sources.table import TableSource

_FILE, _ROW, _BYTES = "file of the row", "row of the file", "bytes of the row"
_NAME, _VERSION = "short name of the file", "version of the file"


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
        table, rows = self._rows()
        urls = table[_FILE]
        ids = table[_NAME] + "/" + table[_ROW].cast(pl.String).str.zfill(9)
        classes = class_names(options) or self._features.get(options.label or "", [])
        known = options.attributes or self._features.get(options.attribute or "", [])
        attributes = known or self._found_attributes(table)
        for setting, names in (("label", classes), ("attribute", attributes)):
            table = self._by_name(table, setting, names)
        items = pl.DataFrame(
            {
                "item_id": self._texts(table, "id") if options.id else ids,
                "image": urls,
                "offset": table[_ROW],
                "label": self._indices(table, "label", classes, "dataset.classes"),
                "attribute": self._indices(table, "attribute", attributes, "dataset.attributes"),
                "mask": urls if options.mask else pl.Series([None] * len(urls), dtype=pl.String),
                "box": self._boxes(table),
                "size": table[_BYTES],
                "version": table[_VERSION],
            }
        )
        if options.mask:
            items = items.with_columns(table[_ROW].alias("mask_offset"))
        self._check_ids(items)
        facts = {"rows": rows, "rows_of_split": table.height, "files": urls.n_unique()}
        return Listing(items, classes, attributes, facts)

    def _read(self) -> pl.DataFrame:
        urls = list(expand(self.options))
        tables = [
            self._read_file(url).with_columns(pl.lit(name).alias(_NAME))
            for url, name in zip(urls, short_names(urls), strict=True)
        ]
        try:
            return pl.concat(tables, how="vertical_relaxed")
        except pl.exceptions.PolarsError as error:
            raise ConfigError(
                "dataset.path", self.options.path, f"its files have different columns: {error}"
            ) from None

    def _read_file(self, url: str) -> pl.DataFrame:
        """The columns that are no pictures, of one file."""
        try:
            version = storage.version(url, self.options.storage_options)
            with storage.open_file(url, self.options.storage_options, version) as opened:
                file = pq.ParquetFile(opened)
                schema = file.schema_arrow
                self._check_pictures(schema, url)
                self._add_features(_label_features(schema), url)
                wanted = self._text_columns(), self.options.box or []
                names = [n for part in wanted for n in part if n in schema.names]
                table = pl.DataFrame(file.read(columns=list(dict.fromkeys(names))))
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
        places = pl.DataFrame({_ROW: range(len(sizes)), _BYTES: sizes}).with_columns(
            pl.lit(url).alias(_FILE), pl.lit(version).alias(_VERSION)
        )
        return pl.concat([places, table], how="horizontal") if table.width else places

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

        Only where the configured names are the recorded ones in another order: those of other
        words are taken to be in the same order.
        """
        column = getattr(self.options, setting)
        recorded = self._features.get(column or "", [])
        if recorded == names or sorted(recorded) != sorted(names):
            return table
        return table.with_columns(
            pl.col(column).replace_strict(
                range(len(recorded)), recorded, default=None, return_dtype=pl.String
            )
        )

    def _text_columns(self) -> list[str]:
        pictures = {self.options.image, self.options.mask}
        return [name for name in super()._text_columns() if name not in pictures]

    def _check_pictures(self, schema: pa.Schema, url: str) -> None:
        for setting in ("image", "mask"):
            name = getattr(self.options, setting)
            if name is None:
                continue
            if name not in schema.names:
                raise ConfigError(
                    f"dataset.{setting}",
                    repr(name),
                    f"{url} has no such column; columns: {', '.join(schema.names)}",
                )
            kind = schema.field(name).type
            if not is_picture(kind):
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
