"""CUB-200-2011: bird species."""

import polars as pl

from seraser_core.sources.benchmarks.benchmark import Benchmark, Counts
from seraser_core.sources.benchmarks.published_names import from_table
from seraser_core.sources.benchmarks.readers import Table, Tables

CUB = Benchmark(
    name="cub",
    what="200 bird species, with boxes, and masks where segmentations/ is there",
    layout="images.txt, image_class_labels.txt, train_test_split.txt, bounding_boxes.txt, "
    "classes.txt, images/ and perhaps segmentations/ (CUB_200_2011)",
    source="Wah et al., The Caltech-UCSD Birds-200-2011 Dataset, 2011",
    licence="non-commercial research only",
    marks=(
        "images.txt",
        "image_class_labels.txt",
        "train_test_split.txt",
        "bounding_boxes.txt",
        "classes.txt",
        "images",
    ),
    reader=Tables(
        [
            Table(name, columns=("id", *columns), separator=" ")
            for name, columns in {
                "images.txt": ("file",),
                "image_class_labels.txt": ("label",),
                "train_test_split.txt": ("train",),
                "bounding_boxes.txt": ("x", "y", "width", "height"),
            }.items()
        ],
        key="id",
        split="train",
    ),
    classes=from_table(
        Table("classes.txt", columns=("label", "name"), separator=" "),
        pl.col("name").str.replace(r"^\d+\.", ""),
        first=1,
    ),
    splits={"test": "0", "train": "1"},
    image=pl.format("images/{}", "file"),
    box=[
        pl.col("x").cast(pl.Float64),
        pl.col("y").cast(pl.Float64),
        pl.col("x").cast(pl.Float64) + pl.col("width").cast(pl.Float64),
        pl.col("y").cast(pl.Float64) + pl.col("height").cast(pl.Float64),
    ],
    mask=pl.format("segmentations/{}.png", pl.col("file").str.replace(r"\.[^./]+$", "")),
    masks="segmentations",
    counts={"test": Counts(5794), "train": Counts(5994)},
    trap="class ids begin at 1; train_test_split.txt has 1 for train",
)
