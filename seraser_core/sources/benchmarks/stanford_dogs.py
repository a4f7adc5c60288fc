"""Stanford Dogs: dog breeds."""

import polars as pl

from seraser_core.sources.benchmarks.benchmark import Benchmark, Counts
from seraser_core.sources.benchmarks.matlab import MatList
from seraser_core.sources.benchmarks.published_names import by_id

STANFORD_DOGS = Benchmark(
    name="stanford_dogs",
    what="120 dog breeds of ImageNet",
    layout="Images/<WordNet id>-<breed>/<image>, train_list.mat and test_list.mat",
    source="Khosla et al., Novel Dataset for Fine-Grained Image Categorization, CVPR workshop 2011",
    licence="that of ImageNet: non-commercial research only",
    marks=("Images", "{split}_list.mat"),
    reader=MatList("{split}_list.mat"),
    classes=by_id(pl.col("file").str.extract(r"^n\d+-([^/]+)/"), first=1),
    splits={"test": "test", "train": "train"},
    image=pl.format("Images/{}", "file"),
    counts={"test": Counts(8580), "train": Counts(12000, of_class=[100] * 120)},
    trap="labels in the lists begin at 1",
)
