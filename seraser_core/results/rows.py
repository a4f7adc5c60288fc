"""Rows made of scores: one row per (image, method), always."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seraser_core.errors import ItemError
from seraser_core.results.outcomes import MethodOutcome
from seraser_core.results.records import RunRecord
from seraser_core.results.schema import PREDICTIONS_SCHEMA, group_name, with_footer

_KEY = ("item_index", "method")
_PLANNED = ("item_index", "item_id", "image", "label", "attribute")
NAN_OUTPUT = ItemError("infer", "nan_output", "the model's logits or losses are not finite")


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
    indices = items["item_index"].to_pylist()
    planned = _planned_columns(run, items)
    parts = []
    for outcome in outcomes:
        at = [place.get(index) for index in indices]
        ok = np.array([i is not None and bool(outcome.finite[i]) for i in at], np.bool_)
        scored = np.array([i for i, good in zip(at, ok, strict=True) if good], np.int64)
        failed = [
            errors[index] if i is None else NAN_OUTPUT
            for index, i, good in zip(indices, at, ok, strict=True)
            if not good
        ]
        columns = planned | {
            "method": pa.repeat(outcome.method, len(ok)),
            "stateful": pa.repeat(outcome.stateful, len(ok)),
            "status": pc.if_else(pa.array(ok), "ok", "error"),
            **_spread(_outcome_columns(run, outcome, scored), ok),
            **_spread(_error_columns(failed), ~ok),
        }
        columns["correct"] = pc.equal(columns["prediction"], columns["label"])
        columns["zero_shot_correct"] = pc.equal(columns["zero_shot_prediction"], columns["label"])
        columns["logits"] = pa.nulls(len(ok), pa.list_(pa.float32()))
        parts.append(pa.Table.from_pydict(columns, schema=with_footer(run)))
    by_item = np.arange(len(indices) * len(parts)).reshape(len(parts), -1).T.ravel()
    table = pa.concat_tables(parts).take(pa.array(by_item)).combine_chunks()
    if not run.config.save_logits:
        return table
    column = table.schema.get_field_index("logits")
    return table.set_column(column, table.schema.field(column), _logits(items, place, outcomes))


def _planned_columns(run: RunRecord, items: pa.Table) -> dict[str, pa.Array]:
    """The columns that the plan gives, one value per item."""
    columns = {name: items[name].combine_chunks() for name in _PLANNED}
    pairs = zip(columns["label"].to_pylist(), columns["attribute"].to_pylist(), strict=True)
    return columns | {
        "run_id": pa.repeat(run.run_id, items.num_rows),
        "dataset": pa.repeat(run.name, items.num_rows),
        "label_name": pa.array(run.classes, pa.string()).take(columns["label"]),
        "group": pa.array([group_name(run, *pair) for pair in pairs], pa.string()),
    }


def _outcome_columns(
    run: RunRecord, outcome: MethodOutcome, scored: np.ndarray
) -> dict[str, pa.Array]:
    """The columns of scores, one value per image of an outcome that is in `scored`."""
    top, shares = outcome.top[scored], outcome.top_probabilities[scored].astype(np.float32)
    predictions = pa.array(top[:, 0], pa.int32())
    losses = {"loss_first": outcome.loss_first, "loss_last": outcome.loss_last}
    columns = {
        "prediction": predictions,
        "prediction_name": pa.array(run.classes, pa.string()).take(predictions),
        "confidence": pa.array(shares[:, 0]),
        "zero_shot_prediction": pa.array(outcome.zero_shot[scored], pa.int32()),
        "zero_shot_confidence": pa.array(outcome.zero_shot_confidence[scored].astype(np.float32)),
        "top_classes": pa.array(list(top.astype(np.int32)), pa.list_(pa.int32())),
        "top_probabilities": pa.array(list(shares), pa.list_(pa.float32())),
        "steps": pa.array([outcome.steps] * len(scored), pa.int32()),
    }
    for name, loss in losses.items():
        none = pa.nulls(len(scored), pa.float32())
        columns[name] = none if loss is None else pa.array(loss[scored].astype(np.float32))
    return columns


def _error_columns(errors: Sequence[ItemError]) -> dict[str, pa.Array]:
    """The columns of errors, one value per image that failed."""
    return {
        f"error_{name}": pa.array([getattr(error, name) for error in errors], pa.string())
        for name in ("stage", "code", "message")
    }


def _spread(columns: dict[str, pa.Array], where: np.ndarray) -> dict[str, pa.Array]:
    """The columns with their values where `where`, (n,) bool, is true, and null elsewhere."""
    place = pa.array(np.cumsum(where) - 1, mask=~where)
    return {name: column.take(place) for name, column in columns.items()}


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


def failed_rows(rows: pa.Table) -> dict[str, list[int]]:
    """Method -> item_index of its error rows, of methods that have some."""
    failed: dict[str, list[int]] = {}
    errors = rows.filter(pc.equal(rows["status"], "error")).select(_KEY)
    for item, method in zip(*(column.to_pylist() for column in errors), strict=True):
        failed.setdefault(method, []).append(item)
    return failed


def is_of_run(rows: pa.Table, run: RunRecord) -> bool:
    """Return whether a table has rows of a run, as its schema and footer say."""
    footer = (rows.schema.metadata or {}).get(b"seraser_fingerprint", b"")
    return bool(rows.schema.equals(PREDICTIONS_SCHEMA)) and footer == run.fingerprint.encode()


def is_same_rows(old: pa.Table, new: pa.Table) -> bool:
    """Return whether two tables of a run have rows of the same items and methods."""
    return bool(old.select(_KEY).equals(new.select(_KEY)))


def describe_row(rows: pa.Table, item: int, method: str) -> str:
    """Name an error row for messages."""
    of_row = (pc.field("item_index") == item) & (pc.field("method") == method)
    row = rows.filter(of_row).to_pylist()[0]
    return f"{method} of {row['item_id']}: {row['error_message']}"
