"""Tables for people, made from merged sums: one row per method, per group, per class."""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from seraser_core.results.metrics import mcnemar, wilson
from seraser_core.results.schema import group_name

_SUMMARY = {
    "method": pl.String,
    "images": pl.Int64,
    "errors": pl.Int64,
    "n": pl.Int64,
    "accuracy": pl.Float64,
    "top5": pl.Float64,
    "worst_group": pl.String,
    "worst_group_accuracy": pl.Float64,
    "worst_group_n": pl.Int64,
    "worst_group_low": pl.Float64,
    "worst_group_high": pl.Float64,
    "gap": pl.Float64,
    "changed": pl.Int64,
    "fixed": pl.Int64,
    "broken": pl.Int64,
    "mcnemar_p": pl.Float64,
    "group_mean": pl.Float64,
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


def summarise(sums: dict[str, Any], run: dict[str, Any]) -> pl.DataFrame:
    """One row per method in the run's order.

    Columns: ``n`` images with a label that did not fail, ``top5`` the share with the label among
    the five likeliest classes, ``worst_group_low`` and ``_high`` Wilson's 95 % interval, ``gap``
    accuracy minus worst-group accuracy, ``harmonic_mean`` over groups, ``nll`` in nats,
    ``changed`` images with another prediction than zero-shot, ``mcnemar_p`` of fixed against
    broken. What cannot be known (no labels, no attributes) is null.
    """
    rows = [_summary_row(m["id"], sums["methods"][m["id"]], run) for m in run["methods"]]
    return pl.DataFrame(rows, schema=_SUMMARY)


def _summary_row(method: str, s: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    n = s["labelled"]
    row: dict[str, Any] = {
        "method": method,
        "images": s["rows"],
        "errors": s["rows"] - s["ok"],
        "n": n,
        "changed": s["changed"],
    }
    if not n:
        return row
    accuracy = s["correct"] / n
    row |= {
        "accuracy": accuracy,
        "top5": s["top5"] / n,
        "ece": math.fsum(abs(right - total) for _, right, total in s["calibration"]) / n,
        "fixed": s["fixed"],
        "broken": s["broken"],
        "mcnemar_p": mcnemar(s["fixed"], s["broken"]),
    }
    row |= {name: s[name] / n for name in ("nll", "brier") if name in s}
    groups = _group_rows(method, s, run)
    if not groups:
        return row
    shares = [g["accuracy"] for g in groups]
    worst = min(groups, key=lambda g: (g["accuracy"], g["label"], g["attribute"]))
    return row | {
        "worst_group": worst["group"],
        "worst_group_accuracy": worst["accuracy"],
        "worst_group_n": worst["n"],
        "worst_group_low": worst["low"],
        "worst_group_high": worst["high"],
        "gap": accuracy - worst["accuracy"],
        "group_mean": math.fsum(shares) / len(shares),
        "harmonic_mean": len(shares) / math.fsum(1 / x for x in shares) if min(shares) else 0.0,
    }


def groups(sums: dict[str, Any], run: dict[str, Any]) -> pl.DataFrame:
    """One row per method and group, with accuracy, its 95 % interval and zero-shot's accuracy."""
    rows = [
        row for m in run["methods"] for row in _group_rows(m["id"], sums["methods"][m["id"]], run)
    ]
    return pl.DataFrame(rows, schema=_GROUPS)


def _group_rows(method: str, s: dict[str, Any], run: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for key, (n, correct, zero_shot) in s["groups"].items():
        label, attribute = (int(x) for x in key.split())
        low, high = wilson(correct, n)
        rows.append(
            {
                "method": method,
                "group": group_name(run, label, attribute),
                "label": label,
                "attribute": attribute,
                "n": n,
                "accuracy": correct / n,
                "low": low,
                "high": high,
                "zero_shot_accuracy": zero_shot / n,
            }
        )
    return sorted(rows, key=lambda row: (row["label"], row["attribute"]))


def classes(sums: dict[str, Any], run: dict[str, Any]) -> pl.DataFrame:
    """One row per method and class that occurs: recall, and precision of its predictions."""
    rows = []
    for method in (m["id"] for m in run["methods"]):
        confusion = {
            (int(label), int(prediction)): n
            for key, n in sums["methods"][method]["confusion"].items()
            for label, prediction in [key.split()]
        }
        for label, name in enumerate(run["classes"]):
            n = sum(c for (y, _), c in confusion.items() if y == label)
            predicted = sum(c for (_, p), c in confusion.items() if p == label)
            if not n and not predicted:
                continue
            hit = confusion.get((label, label), 0)
            rows.append(
                {
                    "method": method,
                    "label": label,
                    "label_name": name,
                    "n": n,
                    "recall": hit / n if n else None,
                    "predicted": predicted,
                    "precision": hit / predicted if predicted else None,
                }
            )
    return pl.DataFrame(rows, schema=_CLASSES)
