"""ImageNet-9: what backgrounds do to a classification."""

import polars as pl

from seraser_core.sources.benchmarks.benchmark import Benchmark, Counts
from seraser_core.sources.benchmarks.headline import Gap
from seraser_core.sources.benchmarks.published_names import same
from seraser_core.sources.benchmarks.readers import Tree
from seraser_core.sources.benchmarks.root import Root

_VARIANTS = ("mixed_rand", "mixed_same", "original", "only_fg", "no_fg")
_FOLDERS = (
    "00_dog",
    "01_bird",
    "02_wheeled vehicle",
    "03_reptile",
    "04_carnivore",
    "05_insect",
    "06_musical instrument",
    "07_primate",
    "08_fish",
)


def _sides(root: Root, rows: pl.DataFrame) -> dict[str, str]:
    """Return the variants as attributes, where there are two to compare."""
    parts = rows["split_part"].unique(maintain_order=True).to_list()
    return same(*parts) if len(parts) > 1 else {}


IMAGENET9 = Benchmark(
    name="imagenet9",
    what="nine classes with other backgrounds; background gap = mixed_same - mixed_rand",
    layout="{original,mixed_rand,mixed_same,only_fg,no_fg}/val/0{k}_{name}/<image> "
    "(backgrounds challenge); the variant is the split",
    source="Xiao et al., Noise or Signal, ICLR 2021",
    licence="that of ImageNet: non-commercial research only",
    marks=[f"{{split}}/val/{folder}" for folder in _FOLDERS],
    reader=Tree("{split}/val/{label}/*"),
    classes={folder: folder[3:] for folder in _FOLDERS},
    attributes=_sides,
    attribute=pl.col("split_part"),
    splits={variant: variant for variant in _VARIANTS} | {"mixed": "mixed_same+mixed_rand"},
    headline=Gap("background gap", "mixed same", "mixed rand"),
    counts={
        **{variant: Counts(4050, of_class=[450] * 9) for variant in _VARIANTS},
        "mixed": Counts(8100, of_class=[900] * 9, of_attribute=(4050, 4050)),
    },
    trap="two folders have a space in their names; the split mixed is mixed_same and mixed_rand in "
    "one run, for the gap",
)
