"""Outcomes of methods, reduced to what rows and sums need.

Scores of C classes for every image of a shard and every method are the largest thing a run could
hold; they are reduced to a few numbers per image as soon as there are many of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from seraser_core.results.schema import TOP

_AT_ONCE = 2**22
"""Scores of which probabilities are made at once: 32 MiB."""


@dataclass(frozen=True)
class MethodOutcome:
    """Outcome of one method for n images that did not fail, in item order.

    Attributes:
        method: The method's id.
        finite: (n,) whether the scores and losses of the method and the scores of the untouched
            prompt are numbers; what else is here of other images means nothing.
        top: (n, k) the likeliest classes, the likeliest first; of equal ones that of least index.
        top_probabilities: (n, k) theirs.
        zero_shot: (n,) the likeliest class of the untouched prompt on the whole image.
        zero_shot_confidence: (n,) its probability.
        nll: (n,) negative log-likelihood of the label in nats; NaN without a label.
        brier: (n,) Brier score, sum_c (p_c - [c = y])^2; NaN without a label.
        logits: (n, C) float32 when they are to be kept, else None.
        loss_first: (n,) float32 or None.
        loss_last: (n,) float32 or None.
        steps: Optimiser steps or None.
        stateful: Whether rows depend on those before them in the shard.
        probabilistic: Whether softmax of its scores gives probabilities of the classes.
    """

    method: str
    finite: np.ndarray
    top: np.ndarray
    top_probabilities: np.ndarray
    zero_shot: np.ndarray
    zero_shot_confidence: np.ndarray
    nll: np.ndarray
    brier: np.ndarray
    logits: np.ndarray | None = None
    loss_first: np.ndarray | None = None
    loss_last: np.ndarray | None = None
    steps: int | None = None
    stateful: bool = False
    probabilistic: bool = True

    def of(self, chosen: np.ndarray) -> MethodOutcome:
        """Return the outcome of those images for which `chosen`, (n,) bool, is true."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(
            self, **{k: v[chosen] for k, v in arrays.items() if isinstance(v, np.ndarray)}
        )


def reduce_scores(
    method: str,
    logits: np.ndarray,
    zero_shot_logits: np.ndarray,
    labels: Sequence[int | None],
    keep_logits: bool = False,
    **rest: Any,
) -> MethodOutcome:
    """The outcome of a method's scores.

    Args:
        method: Its id.
        logits: (n, C) float32.
        zero_shot_logits: (n, C) float32, of the untouched prompt on the whole image.
        labels: Of the n images.
        keep_logits: Whether rows are to hold them.
        rest: Other attributes of `MethodOutcome`.
    """
    known = np.array([-1 if label is None else label for label in labels], dtype=np.int64)
    parts = [_reduced(logits[p], zero_shot_logits[p], known[p]) for p in _parts(logits)]
    columns: dict[str, Any] = {
        name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    }
    for name in ("loss_first", "loss_last"):
        if rest.get(name) is not None:  # steps that overflowed, whatever they led to
            columns["finite"] &= np.isfinite(rest[name])
    return MethodOutcome(method, **columns, logits=logits if keep_logits else None, **rest)


def join(outcomes: Sequence[MethodOutcome]) -> MethodOutcome:
    """The outcome of all images of several outcomes of one method."""
    if len(outcomes) == 1:
        return outcomes[0]
    columns: dict[str, Any] = {}
    for field in fields(MethodOutcome):
        values = [getattr(outcome, field.name) for outcome in outcomes]
        arrays = isinstance(values[0], np.ndarray)
        columns[field.name] = np.concatenate(values) if arrays else values[0]
    return MethodOutcome(**columns)


def row_scores(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Negative log-likelihood (nats) and Brier score, sum_c (p_c - [c = y])^2, of every row.

    Args:
        logits: (n, C).
        labels: (n,) in [0, C).
    """
    parts = [_scores(logits[p], softmax(logits[p]), labels[p]) for p in _parts(logits)]
    nll, brier = zip(*parts, strict=True)
    return np.concatenate(nll), np.concatenate(brier)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last dimension in float64."""
    with np.errstate(invalid="ignore"):
        shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True, initial=-np.inf)
        exponents: np.ndarray = np.exp(shifted, out=shifted)
        exponents /= exponents.sum(-1, keepdims=True)
        return exponents


def _parts(logits: np.ndarray) -> Iterator[slice]:
    """Rows that are looked at together; one part at least."""
    rows, classes = logits.shape
    step = max(1, _AT_ONCE // max(1, classes))
    return (slice(start, start + step) for start in range(0, max(1, rows), step))


def _reduced(
    logits: np.ndarray, zero_shot_logits: np.ndarray, labels: np.ndarray
) -> dict[str, np.ndarray]:
    finite = np.isfinite(logits).all(1) & np.isfinite(zero_shot_logits).all(1)
    probabilities = softmax(logits)
    nll, brier = np.full(len(labels), np.nan), np.full(len(labels), np.nan)
    known = labels >= 0
    if known.any():
        nll[known], brier[known] = _scores(logits[known], probabilities[known], labels[known])
    zero_shot = softmax(zero_shot_logits)
    return {
        "finite": finite,
        "zero_shot": zero_shot.argmax(1),
        "zero_shot_confidence": zero_shot.max(1, initial=0),
        "nll": nll,
        "brier": brier,
        **_top(probabilities),
    }


def _scores(
    logits: np.ndarray, probabilities: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(len(labels))
    with np.errstate(invalid="ignore"):
        shifted = logits.astype(np.float64) - logits.max(1, keepdims=True, initial=-np.inf)
        log_likelihood = shifted[rows, labels] - np.log(np.exp(shifted, out=shifted).sum(1))
    errors = probabilities.copy()
    errors[rows, labels] -= 1
    return -log_likelihood, (errors**2).sum(1)


def _top(probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """The likeliest classes; the array is changed. Of equal classes the first, as argmax has it."""
    rows = np.arange(len(probabilities))
    top, shares = [], []
    for _ in range(min(TOP, probabilities.shape[1])):
        best = probabilities.argmax(1)
        top.append(best)
        shares.append(probabilities[rows, best])
        probabilities[rows, best] = -1
    return {"top": np.stack(top, 1), "top_probabilities": np.stack(shares, 1)}
