"""Test sets for classifiers of ImageNet's 1000 classes."""

from __future__ import annotations

from typing import Any

from seraser_core.sources.benchmarks.benchmark import Benchmark, Counts
from seraser_core.sources.benchmarks.published_names import imagenet_by_index, imagenet_by_wordnet
from seraser_core.sources.benchmarks.readers import Tree

_FOLDERS = "<WordNet id>/<image>"


def _variant(name: str, **differs: Any) -> Benchmark:
    return Benchmark(
        **{
            "name": name,
            "layout": f"{_FOLDERS} ({name})",
            "licence": "see the authors' page; the pictures come from the web",
            "reader": Tree("{label}/*"),
            "trap": "classes are WordNet ids, in the order of ImageNet's indices",
            **differs,
        }
    )


IMAGENET_A = _variant(
    "imagenet-a",
    what="natural pictures of 200 classes that a ResNet-50 gets wrong",
    source="Hendrycks et al., Natural Adversarial Examples, CVPR 2021",
    marks=("n01498041",),
    classes=imagenet_by_wordnet("imagenet_a"),
    counts={"": Counts(7500)},
)
IMAGENET_R = _variant(
    "imagenet-r",
    what="art, cartoons, toys and other renditions of 200 classes",
    source="Hendrycks et al., The Many Faces of Robustness, ICCV 2021",
    marks=("n01443537",),
    classes=imagenet_by_wordnet("imagenet_r"),
    counts={"": Counts(30000)},
)
IMAGENET_SKETCH = _variant(
    "imagenet-sketch",
    what="black and white sketches of 1000 classes",
    source="Wang et al., Learning Robust Global Representations, NeurIPS 2019",
    marks=("n01440764",),
    classes=imagenet_by_wordnet("imagenet"),
    counts={"": Counts(50889)},
)
IMAGENET_V2 = _variant(
    "imagenet-v2",
    what="a second test set of ImageNet, collected as the first one was",
    layout="<class index>/<image> (imagenetv2-matched-frequency-format-val, or another sampling)",
    source="Recht et al., Do ImageNet Classifiers Generalize to ImageNet?, ICML 2019",
    marks=("0", "999"),
    classes=imagenet_by_index,
    counts={"": Counts(10000, of_class=[10] * 1000)},
    trap="folders are class indices as text, which sort as 0, 1, 10, 100, 101; they are read as "
    "numbers",
)
