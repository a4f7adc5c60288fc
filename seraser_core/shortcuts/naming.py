"""Names of clusters: the words that tell a cluster's backgrounds from the others'."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seraser_core.shortcuts.words import Words

_MOST_WORDS = 5
_TELLS = 0.75
_NEAR = 0.5
_EPSILON = 1e-12


@dataclass(frozen=True)
class Named:
    """Clusters after those with the same first word were merged.

    Attributes:
        cluster_of: (K,) new cluster of each old one.
        words: Words of each new cluster, best first; indices into the word table.
    """

    cluster_of: np.ndarray
    words: list[list[int]]


def name_clusters(features: np.ndarray, members: np.ndarray, k: int, words: Words | None) -> Named:
    """Name clusters, and merge those with the same first word until all differ.

    Args:
        features: (n, D) of the backgrounds of the half that discovers.
        members: (n,) cluster of each.
        k: Number of clusters.
        words: Words to choose from; without them, nothing is merged.
    """
    cluster_of = np.arange(k)
    if words is None or not words.words:
        return Named(cluster_of, [[] for _ in range(k)])
    while True:
        best = _best_words(features, cluster_of[members], cluster_of.max() + 1, words.features)
        first, merged = np.unique([row[0] for row in best], return_inverse=True)
        if len(first) == len(best):
            return Named(cluster_of, best)
        cluster_of = merged[cluster_of]


def telling(
    candidates: list[int], features: np.ndarray, inside: np.ndarray, words: Words
) -> list[str]:
    """Return the words that tell a cluster's images from all others, none if the first does not.

    Args:
        candidates: Indices of words, best first.
        features: (n, D) of the backgrounds of the half that tests.
        inside: (n,) bool, which are in the cluster.
        words: The word table.
    """
    directions = _centred(words.features)[candidates]
    tells = [area_under_curve(features @ one, inside) >= _TELLS for one in directions]
    if not tells or not tells[0]:
        return []
    return [words.words[one] for one, kept in zip(candidates, tells, strict=True) if kept]


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float:
    """Return the share of (positive, negative) pairs that the scores order rightly; 0.5 if none."""
    count, rest = int(positive.sum()), int((~positive).sum())
    if not count or not rest:
        return 0.5
    _, place, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[place]
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * rest))


def _best_words(
    features: np.ndarray, members: np.ndarray, k: int, word_features: np.ndarray
) -> list[list[int]]:
    """Rank words by z(cosine of centred word and contrast) + z(mean log softmax over words)."""
    centred = _centred(word_features)
    best = []
    for cluster in range(k):
        inside = members == cluster
        mean = features[inside].mean(0)
        contrast = mean - features[~inside].mean(0) if not inside.all() else np.zeros_like(mean)
        contrast /= np.linalg.norm(contrast) + _EPSILON
        # The softmax's denominator and scale are the same for all words, so z does not see them.
        score = _z(centred @ contrast) + _z(word_features @ mean)
        first, *others = np.argsort(-score, kind="stable")[:_MOST_WORDS].tolist()
        best.append([first, *(one for one in others if score[one] >= _NEAR * score[first])])
    return best


def _centred(word_features: np.ndarray) -> np.ndarray:
    centred = word_features - word_features.mean(0)
    unit: np.ndarray = centred / (np.linalg.norm(centred, axis=1, keepdims=True) + _EPSILON)
    return unit


def _z(values: np.ndarray) -> np.ndarray:
    standard: np.ndarray = (values - values.mean()) / (values.std() + _EPSILON)
    return standard
