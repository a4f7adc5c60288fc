"""Evidence from labels: a class's rates in a place and elsewhere, and merely hard places."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from seraser_core.shortcuts.findings import LabelSplit, Rate
from seraser_core.shortcuts.pull import benjamini_hochberg

_LEAST_IMAGES = 20
_LEAST_FALL = _LEAST_RISE = 0.10
_RATE = 0.05


@dataclass(frozen=True)
class Labelled:
    """Labelled images of the half that tests.

    Attributes:
        labels: (n,) class of each image; -1 where it is not known.
        predicted: (n,) prediction for the whole image.
        members: (n,) cluster of each.
    """

    labels: np.ndarray
    predicted: np.ndarray
    members: np.ndarray

    def split(self, cluster: int, class_index: int) -> LabelSplit | None:
        """Return the rates of a class in a cluster and outside; None if they can tell nothing.

        A place that draws images of other classes is a shortcut. That it draws hardly any must be
        shown as well: labels that are too few say neither.
        """
        rates = self._rates(cluster, class_index)
        falls = _rises(rates["tpr_inside"], rates["tpr_outside"])
        if _rises(rates["fpr_outside"], rates["fpr_inside"]) and not falls:
            return LabelSplit(**rates, verdict="shortcut")
        if _enough(rates) and _most_rise(rates["fpr_outside"], rates["fpr_inside"]) < _LEAST_RISE:
            return LabelSplit(**rates, verdict="merely hard" if falls else "neither")
        return None

    def _rates(self, cluster: int, class_index: int) -> dict[str, Rate]:
        known, inside = self.labels >= 0, self.members == cluster
        own, hit = self.labels == class_index, self.predicted == class_index

        def rate(of: np.ndarray) -> Rate:
            return Rate.of(int((hit & of).sum()), int(of.sum()))

        return {
            "tpr_inside": rate(known & own & inside),
            "tpr_outside": rate(known & own & ~inside),
            "fpr_inside": rate(known & ~own & inside),
            "fpr_outside": rate(known & ~own & ~inside),
        }

    def hard(self, clusters: list[int]) -> list[tuple[int, int, LabelSplit]]:
        """Return (cluster, class, rates) where a class is recognised less often than elsewhere.

        With a false discovery rate of 5 %, the largest falls first.

        Args:
            clusters: Those without a shortcut, which are compared with each other: a shortcut makes
                its class easier in its own place, and so all others look hard.
        """
        free = (self.labels >= 0) & np.isin(self.members, clusters)
        among = Labelled(self.labels[free], self.predicted[free], self.members[free])
        counts = np.bincount(among.labels, minlength=1)
        looked_at = []
        for class_index in np.flatnonzero(counts >= 2 * _LEAST_IMAGES).tolist():
            for cluster in clusters:
                rates = among._rates(cluster, class_index)
                if _enough(rates):
                    split = LabelSplit(**rates, verdict="merely hard")
                    looked_at.append((cluster, class_index, split))
        q_values = benjamini_hochberg(
            [_p(one.tpr_inside, one.tpr_outside) for *_, one in looked_at]
        )
        found = [
            one
            for one, q in zip(looked_at, q_values, strict=True)
            if q <= _RATE and _fall(one[2]) >= _LEAST_FALL
        ]
        return sorted(found, key=lambda one: -_fall(one[2]))


def _enough(rates: dict[str, Rate]) -> bool:
    return min(rate.n for rate in rates.values()) >= _LEAST_IMAGES


def _fall(split: LabelSplit) -> float:
    return split.tpr_outside.value - split.tpr_inside.value


def _rises(low: Rate, high: Rate) -> bool:
    """Return whether the second share is the larger one beyond chance."""
    return high.value > low.value and _p(low, high) <= _RATE


def _most_rise(low: Rate, high: Rate) -> float:
    """Upper end of Newcombe's 95 % interval of how much larger the second share is."""
    return high.value - low.value + math.hypot(high.high - high.value, low.value - low.low)


def _p(less: Rate, more: Rate) -> float:
    """One-sided p of the pooled z test that the second share is the larger one."""
    if not less.n or not more.n:
        return 1.0
    share = (less.hits + more.hits) / (less.n + more.n)
    error = math.sqrt(share * (1 - share) * (1 / less.n + 1 / more.n))
    return 0.5 * math.erfc((more.value - less.value) / error / math.sqrt(2)) if error else 1.0
