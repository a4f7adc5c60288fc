"""Tiny ImageNet: 200 classes at 64 x 64 pixels."""

from __future__ import annotations

from collections import Counter

import polars as pl

from seraser_core.sources.benchmarks.benchmark import Benchmark, Counts
from seraser_core.sources.benchmarks.readers import Reader, Table, Tree
from seraser_core.sources.benchmarks.root import Root


class _TrainOrVal(Reader):
    """Validation images are all in one folder, training images in one per class."""

    _VAL = Table(
        "val/val_annotations.txt",
        columns=("file", "label", "x0", "y0", "x1", "y1"),
        separator="\t",
    )
    _TRAIN = Tree("train/{label}/images/*")

    def rows(self, root: Root, split: str) -> pl.DataFrame:
        """See `Reader.rows`."""
        if split == "train":
            # The boxes of training images lie in 200 files, which are not read.
            sides = [pl.lit(None, pl.String).alias(name) for name in ("x0", "y0", "x1", "y1")]
            return self._TRAIN.rows(root, split).with_columns(sides)
        return self._VAL.read(root).with_columns(image=pl.format("val/images/{}", "file"))


def _names(root: Root, rows: pl.DataFrame) -> dict[str, str]:
    """First name of every id in wnids.txt, in this order; all its names where two would be one."""
    words = Table("words.txt", columns=("id", "names"), separator="\t").read(root)
    names = dict(words.rows())
    ids = root.text("wnids.txt").split()
    unnamed = [i for i in ids if i not in names]
    if unnamed:
        raise root.wrong(f"'words.txt' has no name of {unnamed[0]}")
    firsts = {i: names[i].split(",")[0].strip() for i in ids}
    times = Counter(firsts.values())
    return {i: first if times[first] == 1 else names[i] for i, first in firsts.items()}


TINY_IMAGENET = Benchmark(
    name="tiny_imagenet",
    what="200 classes of ImageNet at 64 x 64 pixels; boxes for the split val",
    layout="wnids.txt, words.txt, val/val_annotations.txt, val/images/<image> and "
    "train/<WordNet id>/images/<image> (tiny-imagenet-200)",
    source="Stanford CS231N; Le and Yang, Tiny ImageNet Visual Recognition Challenge, 2015",
    licence="that of ImageNet: non-commercial research only",
    marks=("wnids.txt", "words.txt", "{split}"),
    reader=_TrainOrVal(),
    classes=_names,
    splits={"val": "val", "train": "train"},
    # The last pixel belongs to the published boxes.
    box=[
        pl.col("x0").cast(pl.Float64),
        pl.col("y0").cast(pl.Float64),
        pl.col("x1").cast(pl.Float64) + 1,
        pl.col("y1").cast(pl.Float64) + 1,
    ],
    counts={
        "val": Counts(10000, of_class=[50] * 200),
        "train": Counts(100000, of_class=[500] * 200),
    },
    trap="val has no folders per class; class indices are the lines of wnids.txt, which are not "
    "sorted; test has no labels",
)
