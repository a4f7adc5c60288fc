"""Data sets described by a table: CSV, TSV or Parquet with image paths, labels and masks."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import polars as pl

from seraser_core import storage
from seraser_core.config.mistakes import one_of_all
from seraser_core.config.options import DatasetOptions, SplitOptions
from seraser_core.errors import ConfigError
from seraser_core.sources.missing import known
from seraser_core.sources.names import (
    alike,
    attribute_names,
    class_names,
    names_among,
    to_index,
)
from seraser_core.sources.numbers import to_numbers
from seraser_core.sources.paths import clean_paths, same_files
from seraser_core.sources.shown import all_composed
from seraser_core.sources.source import Listing, Source, check_paths
from seraser_core.sources.splits import rows_of_split
from seraser_core.sources.table_file import read_table

_BLANKS = " \t\xa0\u200b\ufeff"
"""Characters to strip from cells, including invisible ones from web pages and editors."""


class TableSource(Source):
    """One row per image; image and mask paths are relative to the table."""

    def __init__(self, options: DatasetOptions, cache: str = "") -> None:
        super().__init__(options, cache)
        self.said: list[str] = []
        """Notes on cells that were read in another way than they are written."""

    def listing(self) -> Listing:
        """See `Source.listing`."""
        options = self.options
        table, rows = self._rows()
        base = storage.parent(options.path)
        image = self._paths(table, base, "image")
        if image.null_count() or (image == "").any():
            raise ConfigError("dataset.image", "an empty path", "every row needs an image")
        classes = class_names(options) or []
        table = self._without_missing(table, classes)
        attributes = attribute_names(options) or self._found_attributes(table)
        items = pl.DataFrame(
            {
                "item_id": self._texts(table, "id") if options.id else all_composed(image),
                "image": image,
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
        items = self._once(items, base)
        return Listing(items, classes, attributes, facts, base, self.said)

    def _rows(self) -> tuple[pl.DataFrame, int]:
        """The rows of the split, and the number of all."""
        table = self._read()
        return table.filter(self._chosen(table)), table.height

    def _chosen(self, table: pl.DataFrame) -> pl.Series:
        """Return whether a row is of the split."""
        split = self._split
        if not table.height:
            raise ConfigError("dataset.path", self.options.path, "it has no rows")
        chosen = self._of_split(table, split) if split else pl.repeat(True, len(table), eager=True)
        if not chosen.any():
            raise ConfigError(
                "dataset.split" if split else "dataset.path",
                split.values if split else self.options.path,
                f"no row is left of {table.height}; check the column and its values",
            )
        return chosen

    def _without_missing(self, table: pl.DataFrame, classes: list[str]) -> pl.DataFrame:
        """Return the table with nulls for missing values."""
        names = {"label": classes, "attribute": attribute_names(self.options)}
        columns = [(setting, getattr(self.options, setting)) for setting in (*names, "mask")]
        for setting, column in (*columns, *(("box", column) for column in self.options.box or ())):
            if column in table.columns and (setting in names or table[column].dtype == pl.String):
                texts = self._texts(table, setting, column)
                kept = known(texts, names.get(setting, ()), setting, column, self.said)
                table = table.with_columns(kept.alias(column))
        return table

    def _found_attributes(self, table: pl.DataFrame) -> list[str]:
        if not self.options.attribute:
            return []
        texts = self._texts(table, "attribute")
        names = names_among(texts)
        self.said += alike(names, texts)
        return names

    def _check_ids(self, items: pl.DataFrame) -> None:
        if items["item_id"].null_count():
            raise ConfigError("dataset.id", "an empty id", "every row needs an id")

    def _read(self) -> pl.DataFrame:
        """Read the table and strip its texts."""
        rows, names, said = read_table(self.options, [name for _, name in self._columns()])
        wrong = []
        for setting, name in self._columns():
            if names.count(name) > 1:
                wrong.append(several_columns(setting, name, names.count(name), self.options.path))
            elif name not in names:
                wrong.append(no_column(setting, name, names))
        if wrong:
            raise one_of_all(wrong)
        self.said += said
        for name in dict.fromkeys(self._text_columns().values()):
            if rows[name].dtype == pl.String:
                bare = rows[name].str.strip_chars(_BLANKS)
                changed = (bare != rows[name]).sum()
                if changed:
                    self.said.append(
                        f"{changed} cells of {name!r} have blanks round them, which are left out"
                    )
                    rows = rows.with_columns(bare)
        return rows

    def _columns(self) -> list[tuple[str, str]]:
        """Return setting and column of everything that is read."""
        boxes = [("box", name) for name in self.options.box or []]
        return [*self._text_columns().items(), *boxes]

    def _text_columns(self) -> dict[str, str]:
        """Return setting -> column for the columns of texts."""
        settings = ("id", "image", "mask", "label", "attribute")
        columns = {name: getattr(self.options, name) for name in settings}
        if self._split:
            columns["split.column"] = self._split.column
        return {setting: name for setting, name in columns.items() if name}

    def _texts(self, table: pl.DataFrame, setting: str, name: str | None = None) -> pl.Series:
        column = self._column(table, setting, name)
        kind = f"column {column.name!r} of type {column.dtype}"
        if isinstance(column.dtype, pl.Struct) and "bytes" in column.dtype.to_schema():
            raise ConfigError(
                f"dataset.{setting}", kind, "its cells hold pictures; read them by format: parquet"
            )
        if column.dtype.is_nested() or column.dtype == pl.Object:
            raise ConfigError(
                f"dataset.{setting}", kind, "must hold texts or numbers, one in each cell"
            )
        try:
            return column.cast(pl.String)
        except pl.exceptions.PolarsError:
            raise ConfigError(
                f"dataset.{setting}", kind, "must hold texts or numbers; its bytes are no UTF-8"
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
        return rows_of_split(texts, split, self.said)

    def _indices(
        self,
        table: pl.DataFrame,
        setting: str,
        names: list[str],
        listed_in: str,
        from_data: bool = False,
    ) -> pl.Series:
        if getattr(self.options, setting) is None:
            return pl.Series([None] * table.height, dtype=pl.Int32)
        texts = self._texts(table, setting)
        return to_index(texts, names, f"dataset.{setting}", listed_in, from_data)

    def _masks(self, table: pl.DataFrame, base: str) -> pl.Series:
        if self.options.mask is None:
            return pl.Series([None] * table.height, dtype=pl.String)
        return self._paths(table, base, "mask").replace("", None)

    def _boxes(self, table: pl.DataFrame) -> pl.Series:
        if self.options.box is None:
            return pl.Series([None] * table.height, dtype=pl.List(pl.Float64))
        sides = [
            to_numbers(self._column(table, "box", name), self.said) for name in self.options.box
        ]
        frame = pl.DataFrame({str(i): side for i, side in enumerate(sides)})
        box = pl.when(~pl.any_horizontal(pl.all().is_null())).then(pl.concat_list(pl.all()))
        return frame.select(box.alias("box"))["box"]

    def _paths(self, table: pl.DataFrame, base: str, setting: str) -> pl.Series:
        """Return the paths in a column; refuse those outside of `base` unless allowed."""
        given = self._texts(table, setting)
        paths = clean_paths(given, base, setting, self.options.storage_options, self.said)
        check_paths(paths, base, setting, self.options.allow_outside)
        return paths

    def _once(self, items: pl.DataFrame, base: str) -> pl.DataFrame:
        """Return the items without rows that repeat others.

        Raises:
            ConfigError: Rows of one image differ.
        """
        ids = [] if self.options.id is None else ["item_id"]
        if _all_differ(items["item_id"] if ids else same_files(items["image"], base)):
            return items
        # Different spellings of a path may be one file.
        files = [same_files(items[name], base).alias(f"{name} file") for name in ("image", "mask")]
        told = [*ids, "image file", "mask file", "label", "attribute", "box"]
        once = items.with_columns(files).unique(told, keep="first", maintain_order=True)
        name = ids[0] if ids else "image file"
        differ = once[name].filter(once[name].is_duplicated())
        if len(differ):
            raise ConfigError(
                "dataset.id" if ids else "dataset.image",
                f"{differ[0]!r} appears more than once",
                "its rows differ, and ids must be unique; name a column with unique ids in "
                "dataset.id, or leave one row for each",
            )
        if once.height < items.height:
            self.said.append(
                f"{items.height - once.height} rows repeat other rows; each image is evaluated once"
            )
        return once.drop("image file", "mask file")


def _all_differ(texts: pl.Series) -> bool:
    """Return whether no two texts have the same hash: so no two are the same.

    Hashes of millions of texts take a fraction of their memory.
    """
    return texts.hash().n_unique() == len(texts)


def several_columns(setting: str, name: str, count: int, where: str) -> ConfigError:
    """Build the error that several columns are called `name`, as dataset.<setting> says."""
    return ConfigError(
        f"dataset.{setting}",
        repr(name),
        f"{where} has {count} columns of this name; give each a name of its own",
    )


def no_column(
    setting: str, name: str, columns: Sequence[str], where: str = "the table"
) -> ConfigError:
    """Build the error that no column is called `name`, as dataset.<setting> says."""
    near = difflib.get_close_matches(name, columns, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return ConfigError(
        f"dataset.{setting}",
        repr(name),
        f"{where} has no such column; {hint}columns: {', '.join(columns)}",
    )
