"""The benchmark data sets by name."""

from __future__ import annotations

import difflib

from seraser_core.errors import ConfigError
from seraser_core.sources.benchmarks.benchmark import Benchmark
from seraser_core.sources.benchmarks.celeba import CELEBA
from seraser_core.sources.benchmarks.counter_animal import COUNTER_ANIMAL
from seraser_core.sources.benchmarks.cub import CUB
from seraser_core.sources.benchmarks.domains import DOMAINNET, NICOPP, PACS, VLCS
from seraser_core.sources.benchmarks.hard_imagenet import HARD_IMAGENET
from seraser_core.sources.benchmarks.imagenet import (
    IMAGENET_A,
    IMAGENET_R,
    IMAGENET_SKETCH,
    IMAGENET_V2,
)
from seraser_core.sources.benchmarks.imagenet9 import IMAGENET9
from seraser_core.sources.benchmarks.metashift import METASHIFT
from seraser_core.sources.benchmarks.oxford_pets import OXFORD_PETS
from seraser_core.sources.benchmarks.pairs import CAMEL_DEER, SPIDER_CRAB
from seraser_core.sources.benchmarks.spawrious import SPAWRIOUS
from seraser_core.sources.benchmarks.spuco import SPUCO_BIRDS, SPUCO_DOGS
from seraser_core.sources.benchmarks.spurious_imagenet import SPURIOUS_IMAGENET
from seraser_core.sources.benchmarks.stanford_dogs import STANFORD_DOGS
from seraser_core.sources.benchmarks.tiny_imagenet import TINY_IMAGENET
from seraser_core.sources.benchmarks.urbancars import URBANCARS
from seraser_core.sources.benchmarks.waterbirds import WATERBIRDS

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        WATERBIRDS,
        CELEBA,
        CAMEL_DEER,
        SPIDER_CRAB,
        COUNTER_ANIMAL,
        SPUCO_BIRDS,
        SPUCO_DOGS,
        URBANCARS,
        METASHIFT,
        *SPAWRIOUS,
        PACS,
        VLCS,
        DOMAINNET,
        NICOPP,
        IMAGENET9,
        HARD_IMAGENET,
        SPURIOUS_IMAGENET,
        IMAGENET_A,
        IMAGENET_R,
        IMAGENET_V2,
        IMAGENET_SKETCH,
        TINY_IMAGENET,
        CUB,
        STANFORD_DOGS,
        OXFORD_PETS,
    )
}


def find_benchmark(name: str) -> Benchmark:
    """The data set of that name.

    Raises:
        ConfigError: There is none.
    """
    if name not in BENCHMARKS:
        near = difflib.get_close_matches(name, BENCHMARKS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError("dataset.name", repr(name), f"{hint}names: {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
