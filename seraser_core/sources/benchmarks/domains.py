"""Data sets in which the style of the picture, or its context, is the attribute."""

import polars as pl

from seraser_core.sources.benchmarks.benchmark import Benchmark, Counts
from seraser_core.sources.benchmarks.published_names import by_id, from_json, same
from seraser_core.sources.benchmarks.readers import Table, Tables, Tree

_PACS = ("art_painting", "cartoon", "photo", "sketch")
_VLCS = ("Caltech101", "LabelMe", "SUN09", "VOC2007")
_DOMAINNET = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")
_NICOPP = ("autumn", "dim", "grass", "outdoor", "rock", "water")

PACS = Benchmark(
    name="pacs",
    what="seven classes as art, cartoons, photographs and sketches",
    layout="{art_painting,cartoon,photo,sketch}/<class>/<image>",
    source="Li et al., Deeper, Broader and Artier Domain Generalization, ICCV 2017",
    licence="see the authors' page",
    marks=_PACS,
    reader=Tree("{attribute}/{label}/*"),
    classes=same("dog", "elephant", "giraffe", "guitar", "horse", "house", "person"),
    attributes=same(*_PACS),
    template="an image of {}",
    attribute=pl.col("attribute"),
    counts={"": Counts(9991, of_attribute=(2048, 2344, 1670, 3929))},
)

VLCS = Benchmark(
    name="vlcs",
    what="five classes in the photographs of four older data sets",
    layout="{Caltech101,LabelMe,SUN09,VOC2007}/<class>/<image>",
    source="Fang et al., Unbiased Metric Learning, ICCV 2013",
    licence="those of the four data sets",
    marks=_VLCS,
    reader=Tree("{attribute}/{label}/*"),
    classes=same("bird", "car", "chair", "dog", "person"),
    attributes=same(*_VLCS),
    attribute=pl.col("attribute"),
    counts={"": Counts(10729, of_attribute=(1415, 2656, 3282, 3376))},
)

DOMAINNET = Benchmark(
    name="domainnet",
    what="345 classes as clip art, infographics, paintings, drawings, photographs and sketches",
    layout="{clipart,infograph,painting,quickdraw,real,sketch}/<class>/<image> and the lists "
    "<domain>_test.txt and <domain>_train.txt",
    source="Peng et al., Moment Matching for Multi-Source Domain Adaptation, ICCV 2019",
    licence="fair use for non-commercial research; see the authors' page",
    marks=(*_DOMAINNET, *(f"{domain}_{{split}}.txt" for domain in _DOMAINNET)),
    reader=Tables(
        [
            Table(f"{domain}_{{split}}.txt", columns=("image", "label"), separator=" ")
            for domain in _DOMAINNET
        ]
    ),
    classes=by_id(pl.col("image").str.split("/").list.get(1, null_on_oob=True), first=0),
    attributes=same(*_DOMAINNET),
    splits={"test": "test", "train": "train"},
    attribute=pl.col("image").str.split("/").list.first(),
    counts={
        "test": Counts(176743, of_attribute=(14604, 15582, 21850, 51750, 52041, 20916)),
        "train": Counts(409832, of_attribute=(33525, 36023, 50416, 120750, 120906, 48212)),
    },
    trap="the lists name a part of the folders' images, and the class indices; the published "
    "counts are those of the cleaned version",
)

NICOPP = Benchmark(
    name="nicopp",
    what="60 classes in six contexts (NICO++, track 1 of the NICO challenge)",
    layout="public_dg_0416/train/{autumn,dim,grass,outdoor,rock,water}/<class>/<image> and "
    "dg_label_id_mapping.json",
    source="Zhang et al., NICO++: Towards Better Benchmarking for Domain Generalization, CVPR 2023",
    licence="see the authors' page",
    marks=("dg_label_id_mapping.json", *(f"public_dg_0416/train/{name}" for name in _NICOPP)),
    reader=Tree("public_dg_0416/train/{attribute}/{label}/*"),
    classes=from_json("dg_label_id_mapping.json"),
    attributes=same(*_NICOPP),
    attribute=pl.col("attribute"),
    trap="class indices are those of dg_label_id_mapping.json; public_test_flat has no labels",
)
