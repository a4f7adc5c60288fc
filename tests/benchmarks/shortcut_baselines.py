"""Two other ways to find shortcuts, which the finder is compared with: pairs of place and class."""

from __future__ import annotations

from collections import Counter

import numpy as np

from seraser_core.shortcuts.clusters import Space, cluster_count, k_means, nearest
from seraser_core.shortcuts.find import softmax
from seraser_core.shortcuts.naming import name_clusters, telling
from seraser_core.shortcuts.sample import Sample
from seraser_core.shortcuts.words import Words

_SLICES, _REPORTED = 25, 6
_ERROR_WEIGHT = 10.0
_ITERATIONS = 60
_LOUD = 0.5

Pairs = set[tuple[str, str]]


def background_alone(sample: Sample, classes: list[str], words: Words) -> Pairs:
    """The class that most of a place's backgrounds alone are taken for, where it is outspoken."""
    q = softmax(sample.background)
    space = Space.of(sample.features, q)
    points = space.points(sample.features, q)
    centres = k_means(points, cluster_count(len(points)), np.random.default_rng(0))
    there, members = np.unique(nearest(points, centres), return_inverse=True)
    named = name_clusters(sample.features, members, len(there), words)
    members = named.cluster_of[members]
    pairs = set()
    for cluster, candidates in enumerate(named.words):
        inside = members == cluster
        voice = q[inside].mean(0)
        names = telling(candidates, sample.features, inside, words)
        if names and voice.max() >= _LOUD:
            pairs.add((names[0], classes[int(voice.argmax())]))
    return pairs


def domino_like(sample: Sample, classes: list[str], words: Words) -> Pairs:
    """Slices of a mixture over features, labels and predictions (Domino, arXiv 2203.14960).

    The six with the most errors, as many as are planted, are named like the finder's clusters.
    """
    p = softmax(sample.whole).astype(np.float64)
    y = np.eye(len(classes))[sample.labels]
    space = Space.of(sample.features, p)
    z = (sample.features - space.mean) @ space.components
    share = _mixture(z.astype(np.float64), y, p)
    error = (p.argmax(1) != sample.labels).astype(float)
    rate = (share * error[:, None]).sum(0) / np.maximum(share.sum(0), 1e-9)
    members = share.argmax(1)
    pairs = set()
    for cluster in np.argsort(-rate)[:_REPORTED]:
        inside = members == cluster
        wrong = inside & (error > 0)
        if not wrong.any() or inside.all():
            continue
        named = name_clusters(sample.features, inside.astype(int), 2, words).words
        if len(named) < 2:
            continue
        names = telling(named[1], sample.features, inside, words)
        predicted = Counter(p[wrong].argmax(1).tolist()).most_common(1)[0][0]
        if names:
            pairs.add((names[0], classes[predicted]))
    return pairs


def _mixture(z: np.ndarray, y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """(n, slices) responsibilities of a diagonal Gaussian times two categorical distributions."""
    rng = np.random.default_rng(0)
    n, k = len(z), min(_SLICES, len(z) // 4)
    confusion = y.argmax(1) * y.shape[1] + p.argmax(1)  # slices begin within cells of confusion
    _, cell = np.unique(confusion, return_inverse=True)
    share = np.full((n, k), 1e-3)
    share[np.arange(n), (cell + rng.integers(2, size=n) * (cell.max() + 1)) % k] = 1
    share /= share.sum(1, keepdims=True)
    for _ in range(_ITERATIONS):
        weight = share.sum(0) + 1e-9
        mean = share.T @ z / weight[:, None]
        variance = share.T @ z**2 / weight[:, None] - mean**2 + 1e-4
        likely_y = (share.T @ y + 1e-2) / (weight[:, None] + 1e-2 * y.shape[1])
        likely_p = (share.T @ p + 1e-2) / (weight[:, None] + 1e-2 * p.shape[1])
        log = -0.5 * (
            (z**2) @ (1 / variance).T
            - 2 * z @ (mean / variance).T
            + (mean**2 / variance + np.log(variance)).sum(1)
        )
        log += _ERROR_WEIGHT * (y @ np.log(likely_y).T + p @ np.log(likely_p).T)
        log += np.log(weight / n)
        share = np.exp(log - log.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
    return share
