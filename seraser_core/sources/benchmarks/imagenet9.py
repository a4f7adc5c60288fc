"""ImageNet-9: what backgrounds do to a classification."""

from seraser_core.sources.benchmarks.benchmark import Benchmark, Counts
from seraser_core.sources.benchmarks.readers import Tree

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
    splits={variant: variant for variant in _VARIANTS},
    counts={variant: Counts(4050, of_class=[450] * 9) for variant in _VARIANTS},
    trap="two folders have a space in their names",
)
