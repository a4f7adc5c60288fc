"""Counting the rows of a shard into the sums of every method (METHODS, section 4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from seraser_core.results.outcomes import MethodOutcome, row_scores
from seraser_core.results.sums import ECE_BINS, Bin, GroupSums, MethodSums, units

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


def shard_sums(
    predictions: pa.Table,
    outcomes: Sequence[MethodOutcome],
    before: Mapping[str, MethodSums] | None = None,
    in_orders: Mapping[str, tuple[int, ...]] | None = None,
) -> dict[str, MethodSums]:
    """Return method id -> sums of one shard.

    NLL and Brier score need every class's probability, which the rows keep only with
    ``save_logits``; they are summed from the outcomes.

    Args:
        predictions: All rows of the shard.
        outcomes: What the rows were made from, one per method; if some rows were kept from an
            earlier attempt, of the others.
        before: The sums of that attempt.
        in_orders: Method -> images that are classified rightly in each of some other orders.
    """
    sums = count_rows(pl.DataFrame(predictions.select(COUNTED)), [o.method for o in outcomes])
    for outcome in outcomes:
        if not outcome.probabilistic:
            sums[outcome.method] = sums[outcome.method].without_probabilities()
            continue
        labelled = outcome.finite & ~np.isnan(outcome.nll)
        scores = {"nll": units(outcome.nll[labelled]), "brier": units(outcome.brier[labelled])}
        if before is not None:
            kept = before[outcome.method]
            scores = {name: getattr(kept, name) + value for name, value in scores.items()}
        found = {"in_orders": (in_orders or {}).get(outcome.method), **scores}
        sums[outcome.method] = sums[outcome.method].model_copy(update=found)
    return sums


def proper_sums(rows: pl.DataFrame) -> dict[str, int] | None:
    """Sum NLL and Brier score of one method's rows, in units; None if these have no logits.

    Args:
        rows: With the columns status, label and logits.
    """
    known = rows.filter((pl.col("status") == "ok") & pl.col("label").is_not_null())
    if not known.height:
        return {"nll": 0, "brier": 0}
    if known["logits"].null_count():
        return None
    logits = known["logits"].explode().to_numpy().reshape(known.height, -1)
    nll, brier = row_scores(logits, known["label"].to_numpy())
    return {"nll": units(nll), "brier": units(brier)}


def count_rows(frame: pl.DataFrame, methods: Iterable[str]) -> dict[str, MethodSums]:
    """Method id -> the sums that prediction rows alone give (all but NLL and Brier score)."""
    return {method: _count(frame.filter(pl.col("method") == method)) for method in methods}


def _count(rows: pl.DataFrame) -> MethodSums:
    ok = rows.filter(pl.col("status") == "ok")
    known = ok.filter(pl.col("label").is_not_null())
    right, before = known["correct"].cast(pl.Boolean), known["zero_shot_correct"].cast(pl.Boolean)
    failed = rows.filter(pl.col("status") != "ok")
    # Nothing is checked here: these may be the rows of a damaged file, which `verify` tells.
    return MethodSums.model_construct(
        rows=rows.height,
        ok=ok.height,
        errors=dict(sorted(Counter(failed["error_code"].fill_null("none")).items())),
        labelled=known.height,
        correct=int(right.sum()),
        top5=int(known["top_classes"].list.contains(known["label"]).sum()),
        changed=int((ok["prediction"] != ok["zero_shot_prediction"]).sum()),
        fixed=int((right & ~before).sum()),
        broken=int((~right & before).sum()),
        confusion={
            f"{label} {prediction}": n
            for label, prediction, n in known.group_by("label", "prediction")
            .len()
            .sort("label", "prediction")
            .iter_rows()
        },
        groups=_groups(known),
        fixed_by_group=_fixed_by_group(known),
        calibration=_calibration(known),
        nll=None,
        brier=None,
        predicted=_predicted(ok),
        confidence=units(_confidences(ok)),
    )


def _predicted(ok: pl.DataFrame) -> dict[str, int]:
    counts = ok.drop_nulls("prediction").group_by("prediction").len().sort("prediction")
    return {str(prediction): n for prediction, n in counts.iter_rows()}


def _confidences(ok: pl.DataFrame) -> np.ndarray:
    found = ok["confidence"].cast(pl.Float64).fill_null(0.0).to_numpy()
    return np.where(np.isfinite(found), found, 0.0)


def _groups(known: pl.DataFrame) -> dict[str, GroupSums]:
    grouped = known.filter(pl.col("attribute").is_not_null()).group_by("label", "attribute")
    counts = grouped.agg(
        pl.len(),
        pl.col("correct").sum().cast(pl.Int64),
        pl.col("zero_shot_correct").sum().cast(pl.Int64),
    )
    return {
        f"{label} {attribute}": (n, correct, zero_shot)
        for label, attribute, n, correct, zero_shot in counts.sort("label", "attribute").iter_rows()
    }


def _fixed_by_group(known: pl.DataFrame) -> dict[str, int]:
    right, before = pl.col("correct").cast(pl.Boolean), pl.col("zero_shot_correct").cast(pl.Boolean)
    grouped = known.filter(pl.col("attribute").is_not_null()).group_by("label", "attribute")
    fixed = grouped.agg((right & ~before).sum().cast(pl.Int64)).sort("label", "attribute")
    return {f"{label} {attribute}": n for label, attribute, n in fixed.iter_rows()}


def _calibration(known: pl.DataFrame) -> tuple[Bin, ...]:
    confidence = _confidences(known)
    correct = known["correct"].cast(pl.Boolean).fill_null(False).to_numpy()
    place = np.clip((confidence * ECE_BINS).astype(int), 0, ECE_BINS - 1)
    return tuple(
        (
            int((place == b).sum()),
            int(correct[place == b].sum()),
            units(confidence[place == b]),
        )
        for b in range(ECE_BINS)
    )
