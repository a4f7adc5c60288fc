"""CamelDeer and SpiderCrab: two animals, each where the other one lives."""

from __future__ import annotations

import polars as pl

from seraser_core.sources.benchmarks.base import Benchmark
from seraser_core.sources.benchmarks.names import same, sorted_names
from seraser_core.sources.benchmarks.readers import Reader, Table, Tables, Tree
from seraser_core.sources.benchmarks.root import Root

_SPLITS = {"test": "2", "train": "0", "val": "1"}


class _NamedOrListed(Reader):
    """A metadata.csv in the form of Waterbirds' where there is one, else the names of the files."""

    _TABLE = Tables(
        [Table("metadata.csv", also={"filename": "image", "y": "label", "a": "attribute"})],
        split="split",
    )
    _NAMES = Tree("{label}_{attribute}_*")

    def rows(self, root: Root, split: str) -> pl.DataFrame:
        """See `Reader.rows`."""
        if not root.lacks("metadata.csv"):
            return self._TABLE.rows(root, split)
        if split != _SPLITS["test"]:
            raise root.wrong("there is no metadata.csv", "files that are only named are split test")
        return self._NAMES.rows(root, split)


def _pair(name: str, one: str, other: str, title: str) -> Benchmark:
    return Benchmark(
        name=name,
        what=f"{title} where the other one is usual; the surroundings are the shortcut",
        layout=f"<class>_<context>_<number>.png, where a class is {one} or {other}; or a "
        f"metadata.csv with filename, split, y (0 {one}, 1 {other}) and a",
        source="Spurious Feature Eraser, AAAI 2025 (arXiv 2403.00376); only counter-context pairs "
        "are public",
        licence="none stated",
        marks=(),
        reader=_NamedOrListed(),
        classes=same(one, other),
        attributes=sorted_names("attribute"),
        template="a photo containing {}",
        splits=_SPLITS,
        label=pl.col("label").replace({"0": one, "1": other}),
        attribute=pl.col("attribute"),
    )


CAMEL_DEER = _pair("camel_deer", "camel", "deer", "camels and deer")
SPIDER_CRAB = _pair("spider_crab", "spider", "crab", "spiders and crabs")
