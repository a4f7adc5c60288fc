"""The sums of a method's rows, from which every figure is made; they merge across shards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

ECE_BINS = 15
ONE = 2**40
"""Real numbers are summed in units of 2^-40, as integers: so a sum is the same to the last digit,
however its images are cut into shards and runs."""


LATER = ("fixed_by_group", "predicted", "confidence")
"""Sums that commits of earlier versions do not have."""


def units(values: np.ndarray) -> int:
    """Sum finite numbers in units, each rounded to the nearest one."""
    return sum(map(int, np.rint(values.astype(np.float64) * ONE).tolist()))


def real(total: int) -> float:
    """Return the number that a sum of units stands for."""
    return total / ONE


def _of_real(value: Any) -> Any:
    """Turn the real number of an earlier version into units."""
    return round(value * ONE) if isinstance(value, float) and math.isfinite(value) else value


Units = Annotated[int, BeforeValidator(_of_real)]
GroupSums = Annotated[tuple[int, int, int], Field(strict=False)]
"""Images of a group, those classified rightly, and those that zero-shot classifies rightly."""
Bin = Annotated[tuple[int, int, Units], Field(strict=False)]
"""Images in a bin of confidence, those classified rightly, and the units of their confidences."""


class MethodSums(BaseModel):
    """The sums of one method over some images.

    A field is an integer, or tuples and mappings of integers, and merges by itself; one that is
    added later is None in earlier documents. What a newer version wrote is kept when read,
    and left out of a total.

    Attributes:
        rows: Images.
        ok: Images without an error.
        errors: Error code -> images.
        labelled: Images without an error that have a label; all sums below but `changed`,
            `predicted` and `confidence` are over these.
        correct: Images whose likeliest class is their label.
        top5: Images with their label among the five likeliest classes.
        changed: Images without an error, labelled or not, with another class than zero-shot's.
        fixed: Images that are classified rightly, and not by zero-shot.
        broken: Images that are classified rightly by zero-shot alone.
        confusion: ``"<label> <prediction>"`` -> images.
        groups: ``"<label> <attribute>"`` -> sums of the group.
        fixed_by_group: ``"<label> <attribute>"`` -> images of the group that are fixed; None of
            earlier versions.
        calibration: Of `ECE_BINS` equal bins of confidence in [0, 1]; None if confidences are no
            probabilities.
        nll: Negative log-likelihood of the label in nats, in units; None if only rows are known.
        brier: Brier score, sum_c (p_c - [c = y])^2, in units; None if only rows are known.
        predicted: ``"<class>"`` -> images without an error, labelled or not, with this prediction;
            None of earlier versions.
        confidence: Confidences of these images, in units; None of earlier versions.
        in_orders: Images whose likeliest class is their label in each of some other orders of the
            shards, see `TdaOptions.orders`; None where none was tried, or if only rows are known.
    """

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, allow_inf_nan=False)

    rows: int
    ok: int
    errors: dict[str, int]
    labelled: int
    correct: int
    top5: int
    changed: int
    fixed: int
    broken: int
    confusion: dict[str, int]
    groups: dict[str, GroupSums]
    calibration: Annotated[
        tuple[Bin, ...] | None, Field(strict=False, min_length=ECE_BINS, max_length=ECE_BINS)
    ]
    nll: Units | None
    brier: Units | None
    fixed_by_group: dict[str, int] | None = None
    predicted: dict[str, int] | None = None
    confidence: Units | None = None
    in_orders: Annotated[tuple[int, ...], Field(strict=False)] | None = None

    @classmethod
    def total(cls, parts: Iterable[MethodSums]) -> MethodSums:
        """Merge the sums of one or more parts, in any order.

        A sum that one part does not know is not known of all.
        """
        known = list(parts)
        return cls(**{name: _total([getattr(p, name) for p in known]) for name in cls.model_fields})

    def __add__(self, other: MethodSums) -> MethodSums:
        return MethodSums.total((self, other))

    @property
    def probabilistic(self) -> bool:
        """Whether confidences are probabilities; in sums of shares of votes they are not."""
        return self.calibration is not None

    def without_probabilities(self) -> MethodSums:
        """Return the sums without those that only probabilities have."""
        return self.model_copy(update={"calibration": None, "nll": None, "brier": None})

    def figures(self) -> dict[str, Any]:
        """Return the sums by name, with real numbers in place of units."""
        totals = {"nll": self.nll, "brier": self.brier, "confidence": self.confidence}
        return {
            **{name: getattr(self, name) for name in type(self).model_fields},
            "calibration": self.calibration
            and [(n, correct, real(total)) for n, correct, total in self.calibration],
            **{name: None if total is None else real(total) for name, total in totals.items()},
        }


def _total(values: Sequence[Any]) -> Any:
    """Add values of one kind: integers, tuples place by place, mappings key by key."""
    if any(value is None for value in values):
        return None
    if isinstance(values[0], dict):
        keys = sorted({key for value in values for key in value})
        return {key: _total([value[key] for value in values if key in value]) for key in keys}
    if isinstance(values[0], tuple):
        return tuple(map(_total, zip(*values, strict=True)))
    return sum(values)


def merge(parts: Sequence[Mapping[str, MethodSums]]) -> dict[str, MethodSums]:
    """Merge the sums of several shards, method id -> sums; their order does not matter."""
    methods = dict.fromkeys(method for part in parts for method in part)
    return {method: MethodSums.total(part[method] for part in parts) for method in methods}
