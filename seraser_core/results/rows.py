"""From scores to rows: one row per (image, method), always."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seraser_core.errors import ItemError
from seraser_core.results.outcomes import MethodOutcome
from seraser_core.results.records import RunRecord
from seraser_core.results.schema import PREDICTIONS_SCHEMA, group_name, with_footer

_KEY = ("item_index", "method")
_NAN_OUTPUT = ItemError("infer", "nan_output", "the model's logits or losses are not finite")


def build_table(
    run: RunRecord,
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
    rows = [
        _row(run, item, outcome, place.get(item["item_index"]), errors)
        for item in items.to_pylist()
        for outcome in outcomes
    ]
    table = pa.Table.from_pylist(rows, schema=with_footer(run))
    if not run.config.save_logits:
        return table
    column = table.schema.get_field_index("logits")
    return table.set_column(column, table.schema.field(column), _logits(items, place, outcomes))


def _logits(items: pa.Table, place: dict[int, int], outcomes: Sequence[MethodOutcome]) -> pa.Array:
    """The logits of all rows; as objects of Python they would take many times their size."""
    where = [place.get(index) for index in items["item_index"].to_pylist()]
    kept = [
        outcome.logits[i]
        if i is not None and outcome.finite[i] and outcome.logits is not None
        else None
        for i in where
        for outcome in outcomes
    ]
    lengths = [0 if logits is None else len(logits) for logits in kept]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    values = [logits for logits in kept if logits is not None]
    return pa.ListArray.from_arrays(
        pa.array(offsets),
        pa.array(np.concatenate(values) if values else np.empty(0), pa.float32()),
        mask=pa.array([logits is None for logits in kept], pa.bool_()),
    )


def _row(
    run: RunRecord,
    item: dict[str, Any],
    outcome: MethodOutcome,
    i: int | None,
    errors: dict[int, ItemError],
) -> dict[str, Any]:
    classes, label = run.classes, item["label"]
    row: dict[str, Any] = {
        "run_id": run.run_id,
        "dataset": run.name,
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
    if i is None or not outcome.finite[i]:
        error = errors[item["item_index"]] if i is None else _NAN_OUTPUT
        return row | {
            "status": "error",
            "error_stage": error.stage,
            "error_code": error.code,
            "error_message": error.message,
        }
    prediction, zero_shot = int(outcome.top[i, 0]), int(outcome.zero_shot[i])
    return row | {
        "status": "ok",
        "prediction": prediction,
        "prediction_name": classes[prediction],
        "confidence": float(outcome.top_probabilities[i, 0]),
        "correct": None if label is None else prediction == label,
        "zero_shot_prediction": zero_shot,
        "zero_shot_confidence": float(outcome.zero_shot_confidence[i]),
        "zero_shot_correct": None if label is None else zero_shot == label,
        "top_classes": outcome.top[i].tolist(),
        "top_probabilities": outcome.top_probabilities[i].tolist(),
        "loss_first": None if outcome.loss_first is None else float(outcome.loss_first[i]),
        "loss_last": None if outcome.loss_last is None else float(outcome.loss_last[i]),
        "steps": outcome.steps,
    }


def failed_rows(rows: pa.Table) -> dict[str, list[int]]:
    """Method -> item_index of its error rows, of methods that have some."""
    failed: dict[str, list[int]] = {}
    errors = rows.filter(pc.equal(rows["status"], "error")).select(_KEY)
    for item, method in zip(*(column.to_pylist() for column in errors), strict=True):
        failed.setdefault(method, []).append(item)
    return failed


def is_same_rows(old: pa.Table, new: pa.Table) -> bool:
    """Return whether two tables have rows of the same items and methods in the same run."""
    footer = b"seraser_fingerprint"
    return bool(
        old.schema.equals(PREDICTIONS_SCHEMA)
        and old.select(_KEY).equals(new.select(_KEY))
        and (old.schema.metadata or {}).get(footer) == (new.schema.metadata or {}).get(footer)
    )


def describe_row(rows: pa.Table, item: int, method: str) -> str:
    """Name an error row for messages."""
    of_row = (pc.field("item_index") == item) & (pc.field("method") == method)
    row = rows.filter(of_row).to_pylist()[0]
    return f"{method} of {row['item_id']}: {row['error_message']}"
