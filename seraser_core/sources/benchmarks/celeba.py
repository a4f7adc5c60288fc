"""CelebA: blond hair, where gender is the shortcut."""

import polars as pl

from seraser_core.sources.benchmarks.benchmark import Benchmark, Counts
from seraser_core.sources.benchmarks.readers import Table, Tables

CELEBA = Benchmark(
    name="celeba",
    what="faces with blond hair or not; gender is the shortcut",
    layout="list_attr_celeba.csv, list_eval_partition.csv and the images in img_align_celeba/",
    source="Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015; groups of Sagawa et "
    "al., ICLR 2020",
    licence="non-commercial research only",
    marks=("list_attr_celeba.csv", "list_eval_partition.csv", "img_align_celeba"),
    reader=Tables(
        (Table("list_attr_celeba.csv"), Table("list_eval_partition.csv")),
        key="image_id",
        split="partition",
    ),
    classes={"-1": "person with dark hair", "1": "person with blond hair"},
    attributes={"-1": "female", "1": "male"},
    splits={"test": "2", "train": "0", "val": "1"},
    image=pl.format("img_align_celeba/{}", "image_id"),
    label=pl.col("Blond_Hair"),
    attribute=pl.col("Male"),
    counts={
        "test": Counts(19962, of_group=(9767, 7535, 2480, 180)),
        "train": Counts(162770, of_group=(71629, 66874, 22880, 1387)),
        "val": Counts(19867, of_group=(8535, 8276, 2874, 182)),
    },
    trap="attributes are -1 and 1; the tables are joined by image_id, not by row",
)
