"""Spurious ImageNet: pictures of shortcuts to classes that they do not show."""

import polars as pl

from seraser_core.sources.benchmarks.benchmark import Benchmark, Counts
from seraser_core.sources.benchmarks.headline import Misled
from seraser_core.sources.benchmarks.published_names import imagenet_by_index
from seraser_core.sources.benchmarks.readers import Tree

_NUMBER = pl.col("folder").str.split("_").list.get(2, null_on_oob=True)

SPURIOUS_IMAGENET = Benchmark(
    name="spurious_imagenet",
    what="pictures with a shortcut to one of 100 classes of ImageNet, and without the class itself",
    layout="images/<folder>/<image>; of a folder's name, divided by _, the third part is the "
    "class index and the last one the component (spurious_imagenet)",
    source="Neuhaus et al., Spurious Features Everywhere, ICCV 2023 (arXiv 2212.04871)",
    licence="pictures from Open Images, listed as CC BY 2.0; see the publisher's page",
    marks=("images",),
    reader=Tree("images/{folder}/*"),
    classes=imagenet_by_index,
    sparse=True,
    label=pl.coalesce(_NUMBER.cast(pl.Int64, strict=False).cast(pl.String), "folder"),
    headline=Misled("taken for the class that is not there"),
    counts={"": Counts(7500)},
    trap="the label is the class that is not there: its accuracy is the share of pictures that "
    "mislead the model, and the lower one is better",
)
