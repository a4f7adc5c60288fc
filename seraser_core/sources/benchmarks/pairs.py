"""CamelDeer and SpiderCrab: two animals, each where the other one lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from seraser_core import storage
from seraser_core.sources.benchmarks.benchmark import Benchmark
from seraser_core.sources.benchmarks.published_names import same, sorted_names
from seraser_core.sources.benchmarks.readers import Reader, Table, Tables, Tree
from seraser_core.sources.benchmarks.root import NoSplitError, Root
from seraser_core.sources.names import whole_number

_SPLITS = {"test": "2", "train": "0", "val": "1"}
_TABLE = Tables(
    [Table("metadata.csv", also={"filename": "image", "y": "label", "a": "attribute"})],
    split="split",
)
_NAMES = Tree("{label}_{attribute}_*")


@dataclass(frozen=True)
class _NamedOrListed(Reader):
    """A metadata.csv in the form of Waterbirds' where there is one, else the names of the files.

    Attributes:
        classes: The two animals, in the order of the labels.
        folders: Names that the root has where it is published.
    """

    classes: tuple[str, str]
    folders: tuple[str, ...]

    def rows(self, root: Root, split: str) -> pl.DataFrame:
        """See `Reader.rows`."""
        if not root.lacks("metadata.csv"):
            return self._listed(root, split)
        below = [name for name in self.folders if not root.lacks(name)]
        if below and all("/" in name for name in root.images()):
            raise root.wrong(
                "there is neither a metadata.csv nor an image in it",
                f"did you mean {storage.join(root.url, below[0])}?",
            )
        if split != _SPLITS["test"]:
            remedy = "files that are only named are split test"
            raise root.wrong("there is no metadata.csv", remedy, NoSplitError)
        return _NAMES.rows(root, split).with_columns(mask=pl.lit(None, pl.String))

    def _listed(self, root: Root, split: str) -> pl.DataFrame:
        """The rows of the table.

        Raises:
            ConfigError: The names of files and their labels do not agree.
        """
        rows = _TABLE.rows(root, split)
        if "mask" not in rows.columns:
            rows = rows.with_columns(mask=pl.lit(None, pl.String))
        if not {"image", "label"} <= set(rows.columns):
            return rows  # to be refused for that
        rows = rows.with_columns(pl.col("label").replace(["0", "1"], self.classes))
        named = pl.col("image").str.extract(rf"(?:^|/)({'|'.join(self.classes)})_[^/]*$")
        other = rows.filter(named != pl.col("label"))
        if other.height:
            raise root.wrong(
                f"by its label, {other['image'][0]} is a {other['label'][0]} "
                f"({other.height} such images)",
                f"in the column y of metadata.csv, write 0 for {self.classes[0]} and 1 for "
                f"{self.classes[1]}",
            )
        return rows


def _contexts(root: Root, rows: pl.DataFrame) -> Mapping[str, str]:
    """Return the attributes; numbers get the names that the files use."""
    names = sorted_names("attribute")(root, rows)
    numbers = {text: whole_number(text) for text in names}
    if None in numbers.values() or "image" not in rows.columns:
        return names
    context = pl.col("image").str.extract(r"(?:^|/)[^/_]+_([^/]+)_[^/_]+$")
    pairs = rows.select("attribute", context=context).unique()
    name_of = dict(pairs.rows())
    one_to_one = pairs.height == len(name_of) == len(set(name_of.values()))
    if not one_to_one or None in name_of.values():
        name_of = {text: text for text in names}
    order = sorted(name_of, key=lambda text: (numbers[text] or 0, text))
    return {text: name_of[text].replace("_", " ") for text in order}


def _pair(name: str, classes: tuple[str, str], folders: tuple[str, ...], title: str) -> Benchmark:
    one, other = classes
    return Benchmark(
        name=name,
        what=f"{title} where the other one is usual; the surroundings are the shortcut",
        layout=f"<class>_<context>_<number>.png, where a class is {one} or {other}; or a "
        f"metadata.csv with filename, split, y (0 {one}, 1 {other}), a and perhaps mask "
        f"({' or '.join(folders)})",
        source="Spurious Feature Eraser, AAAI 2025 (arXiv 2403.00376); only counter-context pairs "
        "are public",
        licence="none stated",
        marks=(),
        reader=_NamedOrListed(classes, folders),
        classes=same(*classes),
        attributes=_contexts,
        template="a photo containing {}",
        splits=_SPLITS,
        public=("test",),
        attribute=pl.col("attribute"),
        mask=pl.col("mask"),
        trap=f"in tables, {one} is 0 and {other} is 1; only the split test is public",
    )


CAMEL_DEER = _pair("camel_deer", ("camel", "deer"), ("camel_deer", "CamelDeer"), "camels and deer")
SPIDER_CRAB = _pair(
    "spider_crab", ("crab", "spider"), ("crab_spider", "SpiderCrab"), "crabs and spiders"
)
