"""Data sets described by a table: CSV, TSV or Parquet with image paths, labels and masks."""

from __future__ import annotations

import codecs
import difflib
import io
from collections.abc import Sequence

import polars as pl

from seraser_core import storage
from seraser_core.config.options import SplitOptions
from seraser_core.errors import ConfigError, TransientError
from seraser_core.sources.base import Listing, Source, check_paths
from seraser_core.sources.documents import read_json_lines
from seraser_core.sources.names import class_names, found_names, number_of, to_index

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")


class TableSource(Source):
    """One row per image; image and mask paths are relative to the table."""

    def listing(self) -> Listing:
        """See `Source.listing`."""
        options = self.options
        table, rows = self._rows()
        image = self._texts(table, "image")
        if image.null_count() or (image == "").any():
            raise ConfigError("dataset.image", "an empty path", "every row needs an image")
        classes = class_names(options) or []
        attributes = options.attributes or self._found_attributes(table)
        base = storage.parent(options.path)
        items = pl.DataFrame(
            {
                "item_id": self._texts(table, "id") if options.id else image,
                "image": self._check_paths(image, base, "image"),
                "label": self._indices(table, "label", classes, "dataset.classes"),
                "attribute": self._indices(
                    table, "attribute", attributes, "dataset.attributes", not options.attributes
                ),
                "mask": self._masks(table, base),
                "box": self._boxes(table),
                "size": pl.Series([None] * table.height, dtype=pl.Int64),
            }
        )
        self._check_ids(items)
        facts = {"rows": rows, "rows_of_split": table.height}
        return Listing(items, classes, attributes, facts, base)

    def _rows(self) -> tuple[pl.DataFrame, int]:
        """The rows of the split, and the number of all."""
        table = self._read()
        return table.filter(self._chosen(table)), table.height

    def _chosen(self, table: pl.DataFrame) -> pl.Series:
        """Whether a row is of the split."""
        split = self._split
        chosen = self._of_split(table, split) if split else pl.repeat(True, len(table), eager=True)
        if not chosen.any():
            raise ConfigError(
                "dataset.split" if split else "dataset.path",
                split.values if split else self.options.path,
                f"no row is left of {table.height}; check the column and its values",
            )
        return chosen

    def _found_attributes(self, table: pl.DataFrame) -> list[str]:
        return found_names(self._texts(table, "attribute")) if self.options.attribute else []

    def _check_ids(self, items: pl.DataFrame) -> None:
        if items["item_id"].null_count():
            raise ConfigError("dataset.id", "an empty id", "every row needs an id")

    def _read(self) -> pl.DataFrame:
        path = self.options.path
        ending = path[path.rfind(".") :].lower()
        if ending not in (*_SEPARATORS, *_JSON_LINES, ".parquet"):
            raise ConfigError("dataset.path", path, "must end in .csv, .tsv, .jsonl or .parquet")
        try:
            data = storage.read_bytes(path, self.options.storage_options)
            content = io.BytesIO(data.removeprefix(codecs.BOM_UTF8))
            if ending == ".parquet":
                return pl.read_parquet(content)
            if ending in _JSON_LINES:
                return read_json_lines(
                    content.getvalue().decode(), [name for _, name in self._columns()]
                )
            self._check_header(content, _SEPARATORS[ending])
            table = pl.read_csv(
                content,
                separator=_SEPARATORS[ending],
                infer_schema_length=None,
                # An id 007 is a name, not a number, and a class may be called true.
                schema_overrides=dict.fromkeys(self._text_columns().values(), pl.String),
            )
            return table.filter(~pl.all_horizontal(pl.all().is_null()))  # blank lines
        except FileNotFoundError:
            raise ConfigError("dataset.path", path, "there is no such file") from None
        except PermissionError as error:
            raise ConfigError(
                "dataset.path", path, f"may not be read ({error}); check the credentials"
            ) from None
        except (
            pl.exceptions.PolarsError,
            TransientError,
            ValueError,
            OSError,
            ImportError,
        ) as error:
            raise ConfigError(
                "dataset.path", path, f"cannot be read as a table: {str(error)[:300]}"
            ) from error

    def _check_header(self, content: io.BytesIO, separator: str) -> None:
        """Refuse two columns of one name, of which Polars renames the second."""
        header = pl.read_csv(
            content, separator=separator, has_header=False, n_rows=1, infer_schema=False
        )
        content.seek(0)
        names = list(header.row(0)) if header.height else []
        for setting, name in self._columns():
            if names.count(name) > 1:
                raise several_columns(setting, name, names.count(name), self.options.path)

    def _columns(self) -> list[tuple[str, str]]:
        """Setting and column, of all that are read."""
        boxes = [("box", name) for name in self.options.box or []]
        return [*self._text_columns().items(), *boxes]

    def _text_columns(self) -> dict[str, str]:
        """Setting -> column, of those with texts."""
        settings = ("id", "image", "mask", "label", "attribute")
        columns = {name: getattr(self.options, name) for name in settings}
        if self._split:
            columns["split.column"] = self._split.column
        return {setting: name for setting, name in columns.items() if name}

    def _texts(self, table: pl.DataFrame, setting: str, name: str | None = None) -> pl.Series:
        column = self._column(table, setting, name)
        try:
            if column.dtype.is_nested() or column.dtype == pl.Object:
                raise pl.exceptions.SchemaError("several values in one cell")
            return column.cast(pl.String)
        except pl.exceptions.PolarsError as error:
            raise ConfigError(
                f"dataset.{setting}",
                f"column {column.name!r} of type {column.dtype}",
                f"must hold texts or numbers: {error}",
            ) from None

    def _column(self, table: pl.DataFrame, setting: str, name: str | None = None) -> pl.Series:
        name = name or getattr(self.options, setting)
        if name not in table.columns:
            raise no_column(setting, str(name), table.columns)
        return table[name]

    @property
    def _split(self) -> SplitOptions | None:
        split = self.options.split
        return split if isinstance(split, SplitOptions) else None

    def _of_split(self, table: pl.DataFrame, split: SplitOptions) -> pl.Series:
        texts = self._texts(table, "split.column", split.column)
        wanted = {str(value) for value in split.values}
        numbers = {value for value in split.values if isinstance(value, int)}
        kept = [
            text
            for text in texts.drop_nulls().unique()
            # pandas writes 2 as 2.0; true in YAML is 1 here
            if wanted & {text, text.removesuffix(".0")} or number_of(text) in numbers
        ]
        return texts.is_in(kept).fill_null(False)

    def _indices(
        self,
        table: pl.DataFrame,
        setting: str,
        names: list[str],
        listed_in: str,
        found: bool = False,
    ) -> pl.Series:
        if getattr(self.options, setting) is None:
            return pl.Series([None] * table.height, dtype=pl.Int32)
        texts = self._texts(table, setting)
        return to_index(texts, names, f"dataset.{setting}", listed_in, found)

    def _masks(self, table: pl.DataFrame, base: str) -> pl.Series:
        if self.options.mask is None:
            return pl.Series([None] * table.height, dtype=pl.String)
        masks = self._texts(table, "mask").replace("", None)
        return self._check_paths(masks, base, "mask")

    def _boxes(self, table: pl.DataFrame) -> pl.Series:
        if self.options.box is None:
            return pl.Series([None] * table.height, dtype=pl.List(pl.Float64))
        try:
            sides = [self._column(table, "box", name).cast(pl.Float64) for name in self.options.box]
        except pl.exceptions.PolarsError as error:
            raise ConfigError(
                "dataset.box", self.options.box, f"must be four number columns: {error}"
            ) from None
        frame = pl.DataFrame({str(i): side for i, side in enumerate(sides)})
        box = pl.when(~pl.any_horizontal(pl.all().is_null())).then(pl.concat_list(pl.all()))
        return frame.select(box.alias("box"))["box"]

    def _check_paths(self, paths: pl.Series, base: str, setting: str) -> pl.Series:
        """The paths, relative to `base` or absolute; none outside of it unless allowed."""
        check_paths(paths, base, setting, self.options.allow_outside)
        return paths


def several_columns(setting: str, name: str, count: int, where: str) -> ConfigError:
    """That some columns are called `name`, as dataset.<setting> says."""
    return ConfigError(
        f"dataset.{setting}",
        repr(name),
        f"{where} has {count} columns of this name; give each a name of its own",
    )


def no_column(
    setting: str, name: str, columns: Sequence[str], where: str = "the table"
) -> ConfigError:
    """That none of the columns is called `name`, as dataset.<setting> says."""
    near = difflib.get_close_matches(name, columns, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return ConfigError(
        f"dataset.{setting}",
        repr(name),
        f"{where} has no such column; {hint}columns: {', '.join(columns)}",
    )
