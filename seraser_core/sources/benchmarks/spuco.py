"""SpuCoBirds and SpuCoDogs: animals of ImageNet where their surroundings are the shortcut."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from seraser_core.sources.benchmarks.benchmark import Benchmark, Counts
from seraser_core.sources.benchmarks.published_names import same
from seraser_core.sources.benchmarks.readers import Tree


def _spuco(
    name: str,
    what: str,
    classes: Mapping[str, str],
    attributes: tuple[str, str],
    val: tuple[int, int],
    order: str,
) -> Benchmark:
    """Define one of the two; `val` has the images of its large and small validation groups."""
    sizes = {"test": (500, 500), "train": (10000, 500), "val": val}
    return Benchmark(
        name=name,
        what=what,
        layout=f"{{train,val,test}}/{{{','.join(classes)}}}/{{{','.join(attributes)}}}/<image> "
        f"({name})",
        source="Joshi et al., Towards Mitigating Spurious Correlations in the Wild, arXiv "
        "2306.11957 (SpuCo)",
        licence="that of ImageNet: non-commercial research only",
        marks=[f"{{split}}/{one}/{place}" for one in classes for place in attributes],
        reader=Tree("{split}/{label}/{attribute}/*"),
        classes=classes,
        attributes=same(*attributes),
        splits={split: split for split in sizes},
        attribute=pl.col("attribute"),
        counts={
            split: Counts(2 * (large + small), of_group=(large, small, small, large))
            for split, (large, small) in sizes.items()
        },
        trap=f"{order}; of the splits only test is balanced",
    )


SPUCO_BIRDS = _spuco(
    "spuco_birds",
    "land and water birds of ImageNet on land and water; the place is the shortcut",
    {"landbirds": "landbird", "waterbirds": "waterbird"},
    ("land", "water"),
    (500, 25),
    "landbirds and land are 0",
)
SPUCO_DOGS = _spuco(
    "spuco_dogs",
    "small and big dogs of ImageNet indoors and outdoors; the place is the shortcut",
    {"small_dogs": "small dog", "big_dogs": "big dog"},
    ("indoor", "outdoor"),
    (1000, 50),
    "small dogs and indoor are 0, unlike in the order of the alphabet",
)
