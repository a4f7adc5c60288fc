"""The pull of surroundings towards a class, and whether chance explains it.

The pull of cluster k towards class c is

    T(k, c) = mean of p(c) - r(c) over the images in k - the same mean over the images outside,

over images whose object is another class than c; p are the class probabilities of the whole image
and r those of the object alone.
"""

from __future__ import annotations

import numpy as np

PERMUTATIONS = 999
_BOOTSTRAPS = 999
_TERCILES = (1 / 3, 2 / 3)
_ONE_SIDED, _TWO_SIDED = 1.645, 1.96
"""Normal quantiles: 5 % lie beyond each."""


def pulls(
    change: np.ndarray, objects: np.ndarray, members: np.ndarray, k: int, least: int
) -> np.ndarray:
    """Return T of every cluster and class.

    Args:
        change: (n, C) p - r.
        objects: (n,) class of each object.
        members: (n,) cluster of each image.
        k: Number of clusters.
        least: Images of other objects that must be in a cluster, and outside.

    Returns:
        (k, C); -inf where there are too few images.
    """
    classes = change.shape[1]
    belongs = (members == np.arange(k)[:, None]).astype(np.float64)
    own = np.zeros((k, classes))
    own_count = np.zeros((k, classes))
    rows = np.arange(len(objects))
    np.add.at(own, (members, objects), change[rows, objects])
    np.add.at(own_count, (members, objects), 1)
    sums = belongs @ change - own
    counts = belongs.sum(1, keepdims=True) - own_count
    outside = counts.sum(0) - counts
    enough = (counts >= least) & (outside >= least)
    with np.errstate(invalid="ignore", divide="ignore"):
        pull = sums / counts - (sums.sum(0) - sums) / outside
    return np.where(enough, pull, -np.inf)


def strata(objects: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Return the stratum of each image: its object's class and the tercile of its area."""
    tercile = np.searchsorted(np.quantile(area, _TERCILES), area)
    stratum: np.ndarray = objects * (len(_TERCILES) + 1) + tercile
    return stratum


def shuffles(stratum: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return random orders of the images that only exchange images of one stratum.

    Returns:
        (`PERMUTATIONS`, n) int64; row i puts image ``order[i, j]`` in the place of image j.
    """
    order = np.empty((PERMUTATIONS, len(stratum)), dtype=np.int64)
    home = np.argsort(stratum, kind="stable")
    for row in order:
        row[home] = np.lexsort((rng.random(len(stratum)), stratum))
    return order


def permutation_p(
    inside: np.ndarray, change: np.ndarray, other: np.ndarray, orders: np.ndarray
) -> float:
    """Return the share of shuffled memberships with at least the pull of the true one.

    Args:
        inside: (n,) bool, members of the cluster.
        change: (n,) p - r of the class.
        other: (n,) bool, images whose object is another class.
        orders: See `shuffles`.
    """
    # Within strata, no shuffle changes how many images are inside and how many are outside; so
    # the sum of the changes inside orders the shuffles as the pull does.
    weights = np.where(other, change, 0.0)
    true = weights[inside].sum()
    shuffled = inside[orders] @ weights
    at_least = int((shuffled >= true - 1e-9).sum())
    return (1 + at_least) / (1 + len(orders))


def benjamini_hochberg(p_values: list[float]) -> list[float]:
    """Return the q value of each p: the least false discovery rate at which it is reported."""
    q_values, smallest = [1.0] * len(p_values), 1.0
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    for rank in range(len(order), 0, -1):
        place = order[rank - 1]
        smallest = min(smallest, p_values[place] * len(order) / rank)
        q_values[place] = smallest
    return q_values


def detectable_pull(conflicts: int, least: float, least_low: float) -> float:
    """Return the pull that is reported in 95 of 100 samples: by normal approximation.

    A share t of m conflict images that are decided outright pulls by t, with the standard error
    sqrt(t (1 - t) / m). In 95 of 100 samples, the pull must be `least` at least, and the lower end
    of its interval `least_low`.

    Args:
        conflicts: Images m of other objects in the place, in the half that tests.
        least: Least pull that is reported.
        least_low: Least lower end.
    """
    pulls = np.linspace(0, 1, 1001)
    errors = np.sqrt(pulls * (1 - pulls) / max(conflicts, 1))
    needed = np.maximum(least + _ONE_SIDED * errors, least_low + (_TWO_SIDED + _ONE_SIDED) * errors)
    return float(pulls[np.flatnonzero(pulls >= needed)[0]])


def pull_low(inside: np.ndarray, outside: np.ndarray, rng: np.random.Generator) -> float:
    """Return the lower end of the 95 % bootstrap interval of a pull.

    Args:
        inside: Changes of the images of other objects in the cluster.
        outside: The same outside.
        rng: Draws the images.
    """
    means = [
        np.array([rng.choice(values, len(values)).mean() for _ in range(_BOOTSTRAPS)])
        for values in (inside, outside)
    ]
    return float(np.quantile(means[0] - means[1], 0.025))
