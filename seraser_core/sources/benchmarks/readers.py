"""Readers of the tables, lists and folders by which benchmark data sets list their images."""

from __future__ import annotations

import io
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import polars as pl

from seraser_core.sources.benchmarks.root import Root
from seraser_core.sources.shown import left_out


class Reader(ABC):
    """Reads the rows of a split."""

    @abstractmethod
    def rows(self, root: Root, split: str) -> pl.DataFrame:
        """One row per image, of text columns; perhaps with `size`, bytes as int.

        Args:
            root: Root of the data set.
            split: Name of the split in files.

        Raises:
            ConfigError: The root is not laid out as it should be.
        """


@dataclass(frozen=True)
class Table:
    """A text file of rows and columns.

    Attributes:
        name: Its path in the root; ``{split}`` and ``{table}`` as in `Root.named`.
        columns: Names of the columns where the file does not begin with them.
        separator: Between the columns.
        comment: Lines that begin so are passed over.
        also: Another name of a column -> its name here.
    """

    name: str
    columns: Sequence[str] = ()
    separator: str = ","
    comment: str | None = None
    also: Mapping[str, str] = field(default_factory=dict)

    def read(self, root: Root, split: str = "") -> pl.DataFrame:
        """All rows, as texts.

        Raises:
            ConfigError: The file is missing, empty, or has other columns.
        """
        name = root.named(self.name, split)
        content = root.text(name).encode()
        read = partial(
            pl.read_csv,
            separator=self.separator,
            comment_prefix=self.comment,
            infer_schema=False,
            quote_char='"' if self.separator == "," else None,
        )
        try:
            table = read(io.BytesIO(content), has_header=not self.columns)
            first = read(io.BytesIO(content), has_header=False, n_rows=1).row(0)
        except pl.exceptions.PolarsError as error:
            raise root.wrong(f"{name!r} cannot be read: {str(error)[:200]}") from None
        twice = [column for column in first if column and first.count(column) > 1]
        if twice and not self.columns:
            raise root.wrong(f"{name!r} has more than one column {twice[0]!r}")
        table = table.filter(~pl.all_horizontal(pl.all().is_null()))  # blank lines
        if self.columns:
            if table.width != len(self.columns) or any(table.null_count().row(0)):
                raise root.wrong(f"lines of {name!r} are not of {', '.join(self.columns)}")
            table.columns = list(self.columns)
        also = {k: v for k, v in self.also.items() if k in table.columns and v not in table.columns}
        # These names are reserved for facts from a listing, see `Tree`.
        return table.rename(also).drop("size", "version", strict=False)


@dataclass(frozen=True)
class Tables(Reader):
    """Tables that list all images: joined by a key, or one after the other.

    Attributes:
        tables: The tables.
        key: Column that names the image in all tables.
        split: Column that names the split; without it all rows are of the split.
    """

    tables: Sequence[Table]
    key: str = ""
    split: str = ""

    def rows(self, root: Root, split: str) -> pl.DataFrame:
        """See `Reader.rows`."""
        first, *others = (table.read(root, split) for table in self.tables)
        if not self.key:
            joined = pl.concat([first, *others], how="vertical")
        else:
            joined = first
            for table, read in zip(self.tables[1:], others, strict=True):
                before = joined
                joined = self._join(root, before, read, table.name)
        if not self.split or not split:
            return joined
        if self.split not in joined.columns:
            name = root.named(self.tables[0].name, split)
            raise root.wrong(f"{name!r} has no column {self.split!r}")
        return joined.filter(pl.col(self.split) == split)

    def _join(self, root: Root, rows: pl.DataFrame, more: pl.DataFrame, name: str) -> pl.DataFrame:
        for columns in (rows.columns, more.columns):
            if self.key not in columns:
                raise root.wrong(f"no column {self.key!r} beside {', '.join(columns[:5])}")
        lacking = pl.concat(
            one.join(other, on=self.key, how="anti").select(self.key)
            for one, other in ((rows, more), (more, rows))
        )
        if lacking.height or more[self.key].is_duplicated().any():
            example = lacking[self.key][0] if lacking.height else "an image twice"
            raise root.wrong(
                f"{name!r} and the tables before have not one row each for every image; see "
                f"{example}"
            )
        return rows.join(more, on=self.key, how="left")


@dataclass(frozen=True)
class Tree(Reader):
    """Folders named after labels and splits.

    Attributes:
        pattern: Paths of the images, as ``{split}/{label}/*``: ``{name}`` makes a column of that
            name, ``*`` is any text without a slash, ``{split}`` stands for the split.
        keep: Selects the rows of the data set.
    """

    pattern: str
    keep: pl.Expr = field(default_factory=lambda: pl.lit(True))

    def rows(self, root: Root, split: str) -> pl.DataFrame:
        """See `Reader.rows`."""
        pattern = self.pattern.replace("{split}", split)
        fixed = re.match(r"(?:[^{*/]+/)*", pattern)
        folder = fixed[0].rstrip("/") if fixed else ""
        files = root.images(folder)
        path = re.compile(_as_regex(pattern))
        matches = [(match, file) for name, file in files.items() if (match := path.fullmatch(name))]
        others = root.others(folder)
        root.warnings += left_out([name for name in others if path.fullmatch(name)])
        if not matches:
            elsewhere = f"; {len(files)} elsewhere, such as {next(iter(files))}" if files else ""
            raise root.wrong(f"no image is at {pattern}{elsewhere}")
        if len(matches) < len(files):
            strange = next(name for name in files if not path.fullmatch(name))
            root.warnings.append(
                f"{len(files) - len(matches)} images are not at {pattern} and are left out, e.g. "
                f"{strange}"
            )
        images = pl.DataFrame(
            [
                {"image": match.string, **file._asdict(), **match.groupdict()}
                for match, file in matches
            ],
            schema_overrides={"version": pl.String},
            infer_schema_length=1,
        )
        return images.filter(self.keep)


def _as_regex(pattern: str) -> str:
    text = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+?)", re.escape(pattern))
    return text.replace(r"\*", "[^/]*")
