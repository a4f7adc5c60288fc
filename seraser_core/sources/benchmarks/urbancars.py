"""UrbanCars: cars with two shortcuts at once."""

import itertools

import polars as pl

from seraser_core.sources.benchmarks.benchmark import Benchmark
from seraser_core.sources.benchmarks.published_names import same
from seraser_core.sources.benchmarks.readers import Tree

_KINDS = ("urban", "country")

URBANCARS = Benchmark(
    name="urbancars",
    what="urban and country cars; the background and an object beside the car are the shortcuts",
    layout="bg-0.5_co_occur_obj-0.5/{val,test}/obj-X_bg-X_co_occur_obj-X/<image>.jpg, where X is "
    "urban or country",
    source="Li et al., A Whac-A-Mole Dilemma, CVPR 2023",
    licence="not published as images; made from Stanford Cars, Places and LVIS by the authors' "
    "program",
    marks=[
        f"bg-0.5_co_occur_obj-0.5/{{split}}/obj-{car}_bg-{place}_co_occur_obj-{thing}"
        for car, place, thing in itertools.product(_KINDS, repeat=3)
    ],
    reader=Tree(
        "bg-0.5_co_occur_obj-0.5/{split}/obj-{label}_bg-{place}_co_occur_obj-{thing}/*.jpg"
    ),
    classes=same(*_KINDS),
    attributes={
        f"{place} {thing}": f"{place} background, {thing} object"
        for place, thing in itertools.product(_KINDS, repeat=2)
    },
    template="a photo of a {} car",
    splits={"test": "test", "val": "val"},
    attribute=pl.format("{} {}", "place", "thing"),
    trap="the folders' names alone say the labels",
)
