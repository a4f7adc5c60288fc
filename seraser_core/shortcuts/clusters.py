"""Kinds of surroundings: clusters of background features and of what they are taken for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_COMPONENTS = 32
_WEIGHT_OF_PROBABILITIES = 0.5
_FEWEST, _MOST = 8, 40
_STARTS = 10
_ITERATIONS = 100


@dataclass(frozen=True)
class Space:
    """Points for clustering, of background features and class probabilities.

    Attributes:
        mean: (D,) mean feature.
        components: (D, P) principal components.
        mean_probabilities: (C,) mean probabilities.
    """

    mean: np.ndarray
    components: np.ndarray
    mean_probabilities: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, probabilities: np.ndarray) -> Space:
        """Return the space in which these images differ most.

        Args:
            features: (n, D).
            probabilities: (n, C) of the background alone.
        """
        mean = features.mean(0)
        centred = features - mean
        _, vectors = np.linalg.eigh(centred.T @ centred)
        return cls(mean, vectors[:, ::-1][:, :_COMPONENTS], probabilities.mean(0))

    def points(self, features: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """(n, P + C) points of images."""
        weighted = _WEIGHT_OF_PROBABILITIES * (probabilities - self.mean_probabilities)
        return np.hstack([(features - self.mean) @ self.components, weighted])


def cluster_count(n: int) -> int:
    """Return the number of clusters for n images."""
    return min(n, int(np.clip(round(np.sqrt(n)), _FEWEST, _MOST)))


def k_means(points: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Return the centres of the best of several starts of k-means.

    Args:
        points: (n, d), n >= k.
        k: Number of clusters.
        rng: Chooses the starts, by k-means++.

    Returns:
        (k, d).
    """
    results = [_lloyd(points, _spread(points, k, rng)) for _ in range(_STARTS)]
    return min(results, key=lambda result: result[0])[1]


def nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the index of the nearest centre of each point."""
    members: np.ndarray = _distances(points, centres).argmin(1)
    return members


def _distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(n, k) squared distances, less the squared length of each point."""
    distances: np.ndarray = (centres**2).sum(1) - 2 * points @ centres.T
    return distances


def _spread(points: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Draw k starting centres, each with probability by its squared distance to those before."""
    lengths = (points**2).sum(1)
    chosen = [int(rng.integers(len(points)))]
    distance = np.full(len(points), np.inf)
    while len(chosen) < k:
        new = lengths + _distances(points, points[chosen[-1:]])[:, 0]
        distance = np.minimum(distance, np.maximum(new, 0))
        total = np.cumsum(distance, dtype=np.float64)
        chosen.append(int(min(np.searchsorted(total, rng.random() * total[-1]), len(points) - 1)))
    centres: np.ndarray = points[chosen]
    return centres


def _lloyd(points: np.ndarray, centres: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the sum of squared distances and the centres after Lloyd's iterations."""
    members = np.full(len(points), -1)
    for _ in range(_ITERATIONS):
        before, members = members, nearest(points, centres)
        if np.array_equal(before, members):
            break
        belongs = (members == np.arange(len(centres))[:, None]).astype(points.dtype)
        sizes = belongs.sum(1, keepdims=True)
        centres = np.where(sizes > 0, belongs @ points / np.maximum(sizes, 1), centres)
    return float(_distances(points, centres).min(1).sum(dtype=np.float64)), centres
