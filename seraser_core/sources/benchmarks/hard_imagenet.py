"""Hard ImageNet: masks of small objects whose surroundings give them away."""

from __future__ import annotations

import polars as pl

from seraser_core.sources.benchmarks.benchmark import Benchmark, Counts
from seraser_core.sources.benchmarks.headline import Drop
from seraser_core.sources.benchmarks.published_names import imagenet_by_wordnet
from seraser_core.sources.benchmarks.readers import Reader, Tree
from seraser_core.sources.benchmarks.root import Root

_CLASSES = 15
_MASKS = Tree("hardImageNet/{split}/{label}_{stem}.*")


class _OfMasks(Reader):
    """The images that have a mask: those of ImageNet itself are too many to list."""

    def rows(self, root: Root, split: str) -> pl.DataFrame:
        """See `Reader.rows`."""
        image = pl.format("imagenet/{}/{}/{}.JPEG", pl.lit(split), "label", "stem")
        return _MASKS.rows(root, split).select("label", image=image, mask="image")


def _names(root: Root, rows: pl.DataFrame) -> dict[str, str]:
    """Names of the ids that have masks, in the order of ImageNet's indices."""
    masked = set(rows["label"])
    every = imagenet_by_wordnet("imagenet")(root, rows)
    names = {i: name for i, name in every.items() if i in masked}
    if len(names) != _CLASSES:
        raise root.wrong(f"there are masks of {len(names)} classes, not of {_CLASSES}")
    return names


HARD_IMAGENET = Benchmark(
    name="hard_imagenet",
    what="15 classes of ImageNet with masks of their objects, which the surroundings give away",
    layout="hardImageNet/{train,val}/<WordNet id>_<image> (the masks), and ImageNet beside it as "
    "imagenet/{train,val}/<WordNet id>/<image>",
    source="Moayeri et al., Hard ImageNet: Segmentations for Objects with Strong Spurious Cues, "
    "NeurIPS 2022",
    licence="CC0 for the masks; the pictures have that of ImageNet: non-commercial research only",
    marks=("hardImageNet/{split}", "imagenet/{split}"),
    reader=_OfMasks(),
    classes=_names,
    splits={"val": "val", "train": "train"},
    mask=pl.col("mask"),
    headline=Drop("drop of accuracy without the object"),
    counts={"val": Counts(750, of_class=[50] * _CLASSES)},
    trap="masks that are stored as JPEG are refused, because their edges are not exact: write what "
    "is brighter than half as PNG, with the same name but for its ending, in their place",
)
