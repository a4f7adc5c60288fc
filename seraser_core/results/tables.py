"""Tables for people, made from merged sums: one row per method, per group, per class."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from seraser_core.results.schema import group_name
from seraser_core.results.significance import mcnemar, wilson
from seraser_core.results.sums import MethodSums
from seraser_core.sources.items import SMALL_GROUP, group_key

Sums = Mapping[str, MethodSums]
"""Method id -> sums."""

_SUMMARY = {
    "method": pl.String,
    "images": pl.Int64,
    "errors": pl.Int64,
    "n": pl.Int64,
    "accuracy": pl.Float64,
    "adjusted_accuracy": pl.Float64,
    "group_mean": pl.Float64,
    "top5": pl.Float64,
    "worst_group": pl.String,
    "worst_group_accuracy": pl.Float64,
    "worst_group_n": pl.Int64,
    "worst_group_low": pl.Float64,
    "worst_group_high": pl.Float64,
    "small_groups": pl.Int64,
    "gap": pl.Float64,
    "changed": pl.Int64,
    "fixed": pl.Int64,
    "broken": pl.Int64,
    "mcnemar_p": pl.Float64,
    "harmonic_mean": pl.Float64,
    "nll": pl.Float64,
    "brier": pl.Float64,
    "ece": pl.Float64,
}
_GROUPS = {
    "method": pl.String,
    "group": pl.String,
    "label": pl.Int64,
    "attribute": pl.Int64,
    "n": pl.Int64,
    "small": pl.Boolean,
    "accuracy": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "zero_shot_accuracy": pl.Float64,
}
_CLASSES = {
    "method": pl.String,
    "label": pl.Int64,
    "label_name": pl.String,
    "n": pl.Int64,
    "recall": pl.Float64,
    "predicted": pl.Int64,
    "precision": pl.Float64,
}


def make_tables(sums: Sums, run: dict[str, Any]) -> dict[str, pl.DataFrame]:
    """Return ``summary``, ``groups`` and ``classes`` of merged sums."""
    return {
        "summary": summarise(sums, run),
        "groups": groups(sums, run),
        "classes": classes(sums, run),
    }


def summarise(sums: Sums, run: dict[str, Any]) -> pl.DataFrame:
    """One row per method in the run's order.

    Columns: ``n`` images with a label that did not fail; three averages, ``accuracy`` over these
    images (pooled), ``adjusted_accuracy`` of the groups weighted by their numbers in the training
    split, ``group_mean`` of the groups, each alike; ``top5`` the share with the label among the
    five likeliest classes, ``worst_group_low`` and ``_high`` Wilson's 95 % interval,
    ``small_groups`` that are left out of the worst group because they have fewer than
    `SMALL_GROUP` images, ``gap`` accuracy minus worst-group accuracy, ``harmonic_mean`` over
    groups, ``nll`` in nats, ``changed`` images with another prediction than zero-shot,
    ``mcnemar_p`` of fixed against broken. What cannot be known (no labels, no attributes) is null.
    """
    rows = [_summary_row(m["id"], sums[m["id"]], run) for m in run["methods"]]
    return pl.DataFrame(rows, schema=_SUMMARY)


def _summary_row(method: str, s: MethodSums, run: dict[str, Any]) -> dict[str, Any]:
    n = s.labelled
    row: dict[str, Any] = {
        "method": method,
        "images": s.rows,
        "errors": s.rows - s.ok,
        "n": n,
        "changed": s.changed,
    }
    if not n:
        return row
    accuracy = s.correct / n
    row |= {
        "accuracy": accuracy,
        "top5": s.top5 / n,
        "ece": math.fsum(abs(right - total) for _, right, total in s.calibration) / n,
        "fixed": s.fixed,
        "broken": s.broken,
        "mcnemar_p": mcnemar(s.fixed, s.broken),
    }
    row |= {"nll": s.nll and s.nll / n, "brier": s.brier and s.brier / n}
    groups = _group_rows(method, s, run)
    if not groups:
        return row
    shares = [g["accuracy"] for g in groups]
    row |= {
        "adjusted_accuracy": _adjusted(groups, run.get("train_counts", {})),
        "group_mean": math.fsum(shares) / len(shares),
        "harmonic_mean": len(shares) / math.fsum(1 / x for x in shares) if min(shares) else 0.0,
        "small_groups": sum(g["small"] for g in groups),
    }
    large = [g for g in groups if not g["small"]]
    if not large:
        return row
    worst = min(large, key=lambda g: (g["accuracy"], g["label"], g["attribute"]))
    return row | {
        "worst_group": worst["group"],
        "worst_group_accuracy": worst["accuracy"],
        "worst_group_n": worst["n"],
        "worst_group_low": worst["low"],
        "worst_group_high": worst["high"],
        "gap": accuracy - worst["accuracy"],
    }


def _adjusted(groups: Sequence[dict[str, Any]], train_counts: Mapping[str, int]) -> float | None:
    """Mean of the groups' accuracies, weighted by their images in the training split.

    None where these are not known, or training has images of a group that is not here.
    """
    known = {group_key(g["label"], g["attribute"]): g["accuracy"] for g in groups}
    weights = {group: images for group, images in train_counts.items() if images}
    if not weights or not weights.keys() <= known.keys():
        return None
    total = math.fsum(images * known[group] for group, images in weights.items())
    return total / sum(weights.values())


def small_groups_text(summary: pl.DataFrame) -> str | None:
    """How many groups are left out of the worst group, in words; None when none is."""
    small = int(str(summary["small_groups"].max() or 0))
    if not small:
        return None
    groups = f"{small:,} group{'' if small == 1 else 's'}"
    if summary["worst_group"].count():
        return f"left out of the worst group: {groups} of fewer than {SMALL_GROUP} images"
    return f"there is no worst group: of {groups}, none has {SMALL_GROUP} images"


def groups(sums: Sums, run: dict[str, Any]) -> pl.DataFrame:
    """One row per method and group, with accuracy, its 95 % interval and zero-shot's accuracy."""
    rows = [
        row for m in run["methods"] for row in _group_rows(m["id"], sums[m["id"]], run)
    ]
    return pl.DataFrame(rows, schema=_GROUPS)


def _group_rows(method: str, s: MethodSums, run: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for key, (n, correct, zero_shot) in s.groups.items():
        label, attribute = (int(x) for x in key.split())
        low, high = wilson(correct, n)
        rows.append(
            {
                "method": method,
                "group": group_name(run, label, attribute),
                "label": label,
                "attribute": attribute,
                "n": n,
                "small": n < SMALL_GROUP,
                "accuracy": correct / n,
                "low": low,
                "high": high,
                "zero_shot_accuracy": zero_shot / n,
            }
        )
    return sorted(rows, key=lambda row: (row["label"], row["attribute"]))


def classes(sums: Sums, run: dict[str, Any]) -> pl.DataFrame:
    """One row per method and class that occurs: recall, and precision of its predictions."""
    rows = []
    for method in (m["id"] for m in run["methods"]):
        counts, predictions, hits = Counter[int](), Counter[int](), Counter[int]()
        for key, images in sums[method].confusion.items():
            label, prediction = map(int, key.split())
            counts[label] += images
            predictions[prediction] += images
            if label == prediction:
                hits[label] += images
        for label in sorted({*counts, *predictions}):
            n, predicted, hit = counts[label], predictions[label], hits[label]
            rows.append(
                {
                    "method": method,
                    "label": label,
                    "label_name": run["classes"][label],
                    "n": n,
                    "recall": hit / n if n else None,
                    "predicted": predicted,
                    "precision": hit / predicted if predicted else None,
                }
            )
    return pl.DataFrame(rows, schema=_CLASSES)
