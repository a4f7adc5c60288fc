"""Oxford-IIIT Pets: breeds of cats and dogs."""

import polars as pl

from seraser_core.sources.benchmarks.benchmark import Benchmark, Counts
from seraser_core.sources.benchmarks.published_names import by_id
from seraser_core.sources.benchmarks.readers import Table, Tables

OXFORD_PETS = Benchmark(
    name="oxford_pets",
    what="37 breeds of cats and dogs",
    layout="images/<Breed>_<number>.jpg, annotations/trainval.txt and annotations/test.txt",
    source="Parkhi et al., Cats and Dogs, CVPR 2012",
    licence="CC BY-SA 4.0",
    marks=("images", "annotations/{split}.txt"),
    reader=Tables(
        [
            Table(
                "annotations/{split}.txt",
                columns=("file", "label", "species", "breed"),
                separator=" ",
                comment="#",
            )
        ]
    ),
    classes=by_id(pl.col("file").str.replace(r"_\d+$", ""), first=1),
    template="a photo of a {}, a type of pet",
    splits={"test": "test", "train": "trainval"},
    image=pl.format("images/{}.jpg", "file"),
    counts={"test": Counts(3669), "train": Counts(3680)},
    trap="class ids begin at 1 and do not follow sorted names, where capitals (cats) come first; "
    "in the trimaps background is 2, so they are no masks",
)
