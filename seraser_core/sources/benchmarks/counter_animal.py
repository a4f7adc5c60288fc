"""CounterAnimal: animals before common backgrounds, and before those that mislead CLIP."""

import polars as pl

from seraser_core.sources.benchmarks.benchmark import Benchmark, Counts
from seraser_core.sources.benchmarks.headline import Gap
from seraser_core.sources.benchmarks.published_names import imagenet_from_list, same
from seraser_core.sources.benchmarks.readers import Tree

_NUMBER = pl.col("folder").str.extract(r"^(\d+)\s").cast(pl.Int64).cast(pl.String)

COUNTER_ANIMAL = Benchmark(
    name="counter_animal",
    what="45 animals of ImageNet before common backgrounds and before those that mislead CLIP",
    layout="imagenet_names.txt and <ImageNet index> <name>/{common,counter}-<background>/<image> "
    "(LAION-final)",
    source="Wang et al., A Sober Look at the Robustness of CLIPs to Spurious Features, NeurIPS "
    "2024 (arXiv 2403.11497)",
    licence="see the publisher's page",
    marks=("imagenet_names.txt",),
    reader=Tree("{folder}/{attribute}-{background}/*"),
    classes=imagenet_from_list("imagenet_names.txt"),
    sparse=True,
    attributes=same("common", "counter"),
    template="A photo of {}",
    label=pl.coalesce(_NUMBER, "folder"),
    attribute=pl.col("attribute"),
    headline=Gap("common minus counter", "common", "counter"),
    counts={"": Counts(13100, of_attribute=(7174, 5926))},
    trap="folders begin with class indices as text, which sort as 10, 100, 11; they are read as "
    "numbers. Classes are all 1000 of ImageNet, each with all its names, as the published figures "
    "have them. The counter backgrounds were chosen with ViT-B/32 of LAION-400M",
)
