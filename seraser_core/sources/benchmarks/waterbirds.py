"""Waterbirds: birds of CUB in front of places where they do not live."""

import polars as pl

from seraser_core.sources.benchmarks.benchmark import Benchmark, Counts
from seraser_core.sources.benchmarks.readers import Table, Tables

WATERBIRDS = Benchmark(
    name="waterbirds",
    what="land and water birds in front of land and water; the place is the shortcut",
    layout="metadata.csv and a folder of images per bird (waterbird_complete95_forest2water2); "
    "CUB's segmentations/, if put there, are its masks",
    source="Sagawa et al., Distributionally Robust Neural Networks, ICLR 2020 (group_DRO)",
    licence="none stated; made from CUB-200-2011 and Places, both for research only",
    marks=("{table}",),
    reader=Tables(
        (Table("{table}", also={"filename": "img_filename", "id": "img_id", "a": "place"}),),
        split="split",
    ),
    classes={"0": "landbird", "1": "waterbird"},
    attributes={"0": "land", "1": "water"},
    splits={"test": "2", "train": "0", "val": "1"},
    image=pl.col("img_filename"),
    label=pl.col("y"),
    attribute=pl.col("place"),
    mask=pl.format("segmentations/{}.png", pl.col("img_filename").str.replace(r"\.[^./]+$", "")),
    masks="segmentations",
    table="metadata.csv",
    counts={
        "test": Counts(5794, of_group=(2255, 2255, 642, 642)),
        "train": Counts(4795, of_group=(3498, 184, 56, 1057)),
        "val": Counts(1199, of_group=(467, 466, 133, 133)),
    },
    trap="splits are numbers: 0 train, 1 val, 2 test; some of the published labels are wrong, and "
    "`metadata` names another table in the root",
)
