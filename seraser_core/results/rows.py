"""From scores to rows: one row per (image, method), always."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from seraser_core.errors import ItemError
from seraser_core.results.schema import TOP, group_name, with_footer


@dataclass
class MethodOutcome:
    """What one method found for the n images of a shard that did not fail, in item order.

    Attributes:
        method: The method's id.
        logits: (n, C) float32.
        zero_shot_logits: (n, C) float32, of the untouched prompt on the whole image.
        loss_first: (n,) float32 or None.
        loss_last: (n,) float32 or None.
        steps: Optimiser steps or None.
        stateful: Whether rows depend on those before them in the shard.
    """

    method: str
    logits: np.ndarray
    zero_shot_logits: np.ndarray
    loss_first: np.ndarray | None = None
    loss_last: np.ndarray | None = None
    steps: int | None = None
    stateful: bool = False


_NAN_OUTPUT = ItemError("infer", "nan_output", "the model's logits are not finite")


def build_table(
    run: dict[str, Any],
    items: pa.Table,
    done: np.ndarray,
    outcomes: Sequence[MethodOutcome],
    errors: dict[int, ItemError],
) -> pa.Table:
    """The prediction rows of a shard, by item and then by method in the run's order.

    Args:
        run: run.json.
        items: The shard's items.
        done: (n,) item_index of the rows of every outcome.
        outcomes: One per method.
        errors: item_index -> why the image failed, for all others.
    """
    place = {int(index): i for i, index in enumerate(done)}
    columns = [_Scored(outcome) for outcome in outcomes]
    rows = [
        _row(run, item, outcome, scored, place.get(item["item_index"]), errors)
        for item in items.to_pylist()
        for outcome, scored in zip(outcomes, columns, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=with_footer(run))


class _Scored:
    """Probabilities and rankings of an outcome, for all images at once."""

    def __init__(self, outcome: MethodOutcome) -> None:
        self.finite = np.isfinite(outcome.logits).all(1) & np.isfinite(
            outcome.zero_shot_logits
        ).all(1)
        self.probabilities = softmax(outcome.logits)
        # Stable: of equal classes the first, like argmax.
        order = np.argsort(-self.probabilities, axis=1, kind="stable")
        self.top = order[:, : min(TOP, outcome.logits.shape[1])]
        zero_shot = softmax(outcome.zero_shot_logits)
        self.zero_shot = zero_shot.argmax(1)
        self.zero_shot_confidence = zero_shot.max(1)


def _row(
    run: dict[str, Any],
    item: dict[str, Any],
    outcome: MethodOutcome,
    scored: _Scored,
    i: int | None,
    errors: dict[int, ItemError],
) -> dict[str, Any]:
    classes, label = run["classes"], item["label"]
    row: dict[str, Any] = {
        "run_id": run["run_id"],
        "dataset": run["name"],
        "method": outcome.method,
        "stateful": outcome.stateful,
        "item_index": item["item_index"],
        "item_id": item["item_id"],
        "image": item["image"],
        "label": label,
        "label_name": None if label is None else classes[label],
        "attribute": item["attribute"],
        "group": group_name(run, label, item["attribute"]),
    }
    if i is None or not scored.finite[i]:
        error = errors[item["item_index"]] if i is None else _NAN_OUTPUT
        return row | {
            "status": "error",
            "error_stage": error.stage,
            "error_code": error.code,
            "error_message": error.message,
        }
    prediction, zero_shot = int(scored.top[i, 0]), int(scored.zero_shot[i])
    keep_logits = run["config"]["save_logits"]
    return row | {
        "status": "ok",
        "prediction": prediction,
        "prediction_name": classes[prediction],
        "confidence": float(scored.probabilities[i, prediction]),
        "correct": None if label is None else prediction == label,
        "zero_shot_prediction": zero_shot,
        "zero_shot_confidence": float(scored.zero_shot_confidence[i]),
        "zero_shot_correct": None if label is None else zero_shot == label,
        "top_classes": scored.top[i].tolist(),
        "top_probabilities": scored.probabilities[i, scored.top[i]].tolist(),
        "logits": outcome.logits[i].tolist() if keep_logits else None,
        "loss_first": None if outcome.loss_first is None else float(outcome.loss_first[i]),
        "loss_last": None if outcome.loss_last is None else float(outcome.loss_last[i]),
        "steps": outcome.steps,
    }


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last dimension in float64."""
    with np.errstate(invalid="ignore"):
        shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True, initial=-np.inf)
        exponents = np.exp(shifted)
        return exponents / exponents.sum(-1, keepdims=True)
