"""Samples made of random numbers, with shortcuts of known strength."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from seraser_core.shortcuts.sample import Sample, key
from seraser_core.shortcuts.words import Words

_SPREAD = 0.35
_SURE = 8.0


def synthetic_sample(
    n: int,
    classes: int,
    places: int,
    shortcuts: Mapping[int, tuple[int, float]],
    seed: int = 0,
    dimensions: int = 24,
    labelled: bool = False,
) -> Sample:
    """n images of objects that are evenly spread over places.

    Args:
        n: Number of images.
        classes: Number of classes.
        places: Number of places; their features are the unit vectors of as many dimensions.
        shortcuts: Place -> (class, share of its images that it decides).
        seed: Of the random numbers.
        dimensions: Length of the features.
        labelled: Whether the labels are known.
    """
    rng = np.random.default_rng(seed)
    objects, place = rng.integers(classes, size=n), rng.integers(places, size=n)
    features = np.eye(dimensions)[place] + _SPREAD / np.sqrt(dimensions) * rng.standard_normal(
        (n, dimensions)
    )
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    foreground = rng.standard_normal((n, classes))
    foreground[np.arange(n), objects] += _SURE
    whole = foreground + 0.3 * rng.standard_normal((n, classes))
    background = rng.standard_normal((n, classes))
    for where, (class_index, share) in shortcuts.items():
        inside = place == where
        background[inside, class_index] += 2
        whole[inside & (rng.random(n) < share), class_index] += 2 * _SURE
    ids = [f"{seed}-{number}" for number in range(n)]
    return Sample(
        item_ids=ids,
        keys=np.asarray([key(0, one) for one in ids], dtype=np.uint64),
        whole=whole.astype(np.float32),
        background=background.astype(np.float32),
        foreground=foreground.astype(np.float32),
        erased=foreground.astype(np.float32),
        features=features.astype(np.float32),
        area=rng.uniform(0.05, 0.5, n).astype(np.float32),
        labels=objects if labelled else np.full(n, -1),
        attributes=place,
    )


def synthetic_words(places: int, dimensions: int = 24) -> Words:
    """One word per place, called place0 and so on, with the place's feature."""
    return Words(
        [f"place{place}" for place in range(places)],
        ["location"] * places,
        np.eye(dimensions, dtype=np.float32)[:places],
        "a photo of {}",
    )
