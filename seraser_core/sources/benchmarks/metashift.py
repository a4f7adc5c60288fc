"""MetaShift: cats and dogs, indoors and outdoors."""

import polars as pl

from seraser_core.sources.benchmarks.benchmark import Benchmark
from seraser_core.sources.benchmarks.readers import Tree

METASHIFT = Benchmark(
    name="metashift",
    what="cats outdoors and dogs indoors, unlike in training; the place is the shortcut",
    layout="{train,test}/{cat,dog}/<class>(<indoor or outdoor>)/<image> "
    "(MetaShift-Cat-Dog-indoor-outdoor)",
    source="Liang and Zou, MetaShift, ICLR 2022",
    licence="that of Visual Genome, CC BY 4.0",
    marks=("{split}/cat", "{split}/dog"),
    reader=Tree("{split}/{label}/*({attribute})/*"),
    classes={"dog": "dog", "cat": "cat"},
    attributes={"outdoor": "outdoor", "indoor": "indoor"},
    splits={"test": "test", "train": "train"},
    attribute=pl.col("attribute"),
    trap="cat is 1 and indoor is 1, unlike in the order of the alphabet",
)
