"""Metrics as sums that merge across shards, and the tables made from them (METHODS, section 4)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from seraser_core.results.documents import TIMINGS, Each, Number
from seraser_core.results.outcomes import MethodOutcome, row_scores

ECE_BINS = 15
COUNTED = (
    "method",
    "status",
    "error_code",
    "label",
    "attribute",
    "prediction",
    "confidence",
    "correct",
    "zero_shot_prediction",
    "zero_shot_correct",
    "top_classes",
)
"""The columns of rows that are counted."""
_EXACT = ("rows", "ok", "labelled", "correct", "top5", "changed", "fixed", "broken")
_REAL = ("nll", "brier")
_SUMS = {
    **dict.fromkeys(_EXACT, int),
    **dict.fromkeys(_REAL, Number),
    "errors": Each(dict, int),
    "confusion": Each(dict, int),
    "groups": Each(dict, Each(list, int, 3)),
    "calibration": Each(list, Each(list, Number, 3), ECE_BINS),
}


def metrics_shape(methods: Iterable[str]) -> dict[str, Any]:
    """What metrics/<shard>.json must hold to be merged with others of the same methods."""
    return {"shard": str, "methods": dict.fromkeys(methods, _SUMS), "timings": TIMINGS}


def shard_metrics(
    predictions: pa.Table, outcomes: Sequence[MethodOutcome], run: dict[str, Any]
) -> dict[str, Any]:
    """The sums of one shard: ``{"methods": {method id: sums}}``.

    NLL and Brier score need every class's probability, which the rows keep only with
    ``save_logits``; they are summed from the outcomes.
    """
    frame = pl.DataFrame(predictions.select(COUNTED))
    methods = count_rows(frame, [m["id"] for m in run["methods"]])
    for outcome in outcomes:
        rows = frame.filter((pl.col("method") == outcome.method) & (pl.col("status") == "ok"))
        labelled = rows["label"].is_not_null().to_numpy()
        methods[outcome.method] |= sum_scores(outcome, labelled)
    return {"methods": methods}


def proper_scores(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Sums of negative log-likelihood (nats) and Brier score, see `row_scores`."""
    nll, brier = row_scores(logits, labels)
    return math.fsum(nll), math.fsum(brier)


def sum_scores(outcome: MethodOutcome, chosen: np.ndarray) -> dict[str, float]:
    """The sums of NLL and Brier score over some of the images with finite scores.

    Args:
        outcome: What a method found.
        chosen: Which of them: labelled ones.
    """
    scores = {"nll": outcome.nll, "brier": outcome.brier}
    return {name: math.fsum(values[outcome.finite][chosen]) for name, values in scores.items()}


def count_rows(frame: pl.DataFrame, methods: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Method id -> the sums that prediction rows alone give (all but NLL and Brier score)."""
    return {method: _count(frame.filter(pl.col("method") == method)) for method in methods}


def _count(rows: pl.DataFrame) -> dict[str, Any]:
    ok = rows.filter(pl.col("status") == "ok")
    known = ok.filter(pl.col("label").is_not_null())
    right, before = known["correct"].cast(pl.Boolean), known["zero_shot_correct"].cast(pl.Boolean)
    failed = rows.filter(pl.col("status") != "ok")
    bins = _calibration(known)
    return {
        "rows": rows.height,
        "ok": ok.height,
        "errors": dict(sorted(Counter(failed["error_code"].to_list()).items())),
        "labelled": known.height,
        "correct": int(right.sum()),
        "top5": int(known["top_classes"].list.contains(known["label"]).sum()),
        "changed": int((ok["prediction"] != ok["zero_shot_prediction"]).sum()),
        "fixed": int((right & ~before).sum()),
        "broken": int((~right & before).sum()),
        "confusion": {
            f"{label} {prediction}": n
            for label, prediction, n in known.group_by("label", "prediction")
            .len()
            .sort("label", "prediction")
            .iter_rows()
        },
        "groups": {
            f"{label} {attribute}": [n, correct, zero_shot]
            for label, attribute, n, correct, zero_shot in known.filter(
                pl.col("attribute").is_not_null()
            )
            .group_by("label", "attribute")
            .agg(
                pl.len(),
                pl.col("correct").sum().cast(pl.Int64),
                pl.col("zero_shot_correct").sum().cast(pl.Int64),
            )
            .sort("label", "attribute")
            .iter_rows()
        },
        "calibration": bins,
    }


def _calibration(known: pl.DataFrame) -> list[list[float]]:
    """For each of the equal-width bins of confidence: n, correct, sum of confidence."""
    confidence = known["confidence"].cast(pl.Float64).to_numpy()
    correct = known["correct"].cast(pl.Boolean).to_numpy()
    place = np.clip((confidence * ECE_BINS).astype(int), 0, ECE_BINS - 1)
    return [
        [
            int((place == b).sum()),
            int(correct[place == b].sum()),
            math.fsum(confidence[place == b]),
        ]
        for b in range(ECE_BINS)
    ]


def merge(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The sums of several shards as one; the order of `parts` does not matter."""
    methods = list(dict.fromkeys(m for part in parts for m in part["methods"]))
    return {"methods": {m: _merge([p["methods"][m] for p in parts]) for m in methods}}


def _merge(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {name: sum(p[name] for p in parts) for name in _EXACT}
    for name in _REAL:
        if all(name in p for p in parts):
            merged[name] = math.fsum(p[name] for p in parts)
    for name in ("errors", "confusion"):
        counts: Counter[str] = Counter()
        for part in parts:
            counts.update(part[name])
        merged[name] = dict(sorted(counts.items()))
    groups: dict[str, list[int]] = {}
    for part in parts:
        for key, sums in part["groups"].items():
            groups[key] = [a + b for a, b in zip(groups.get(key, [0, 0, 0]), sums, strict=True)]
    merged["groups"] = dict(sorted(groups.items()))
    merged["calibration"] = [
        [sum(r[0] for r in rows), sum(r[1] for r in rows), math.fsum(r[2] for r in rows)]
        for rows in zip(*(p["calibration"] for p in parts), strict=True)
    ]
    return merged
