"""Rows of a shard against those that are made one by one, as METHODS and the schema say."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from seraser_core.results.schema import with_footer

ROUNDED = ["confidence", "zero_shot_confidence", "top_probabilities"]


def literal_row(run: Any, item: int, method: str) -> dict[str, Any]:
    label, place = run.items["label"][item].as_py(), run.items["attribute"][item].as_py()
    classes, attributes = run.run.classes, run.run.attributes
    row = dict.fromkeys(with_footer(run.run).names) | {
        "run_id": run.run.run_id,
        "dataset": run.run.name,
        "method": method,
        "stateful": next(m.stateful for m in run.run.methods if m.id == method),
        **{name: run.items[name][item].as_py() for name in ("item_index", "item_id", "image")},
        "label": label,
        "label_name": None if label is None else classes[label],
        "attribute": place,
        "group": None if None in (label, place) else f"{classes[label]} / {attributes[place]}",
        "status": "error",
    }
    logits, zero_shot = run.logits[method][item], run.zero_shot[item]
    error = run.errors.get(item)
    if error is not None:
        why = {"error_stage": error.stage, "error_code": error.code, "error_message": error.message}
        return row | why
    if not np.isfinite(logits).all():
        why = "the model's logits or losses are not finite"
        return row | {"error_stage": "infer", "error_code": "nan_output", "error_message": why}
    shares, untouched = (
        np.exp(x - x.max()) / np.exp(x - x.max()).sum()
        for x in (logits.astype(np.float64), zero_shot.astype(np.float64))
    )
    order = np.argsort(-shares, kind="stable")[:5]
    first, before = int(order[0]), int(untouched.argmax())
    learns = method != "zero_shot"
    return row | {
        "status": "ok",
        "prediction": first,
        "prediction_name": classes[first],
        "confidence": np.float32(shares[first]),
        "correct": None if label is None else first == label,
        "zero_shot_prediction": before,
        "zero_shot_confidence": np.float32(untouched[before]),
        "zero_shot_correct": None if label is None else before == label,
        "top_classes": order.tolist(),
        "top_probabilities": shares[order].astype(np.float32).tolist(),
        "logits": logits.tolist() if run.run.config.save_logits else None,
        "loss_first": np.float32(2) + logits[0] if learns else None,
        "loss_last": logits[0] if learns else None,
        "steps": 20 if learns else None,
    }


@pytest.mark.parametrize("failed", [(), (0, 2, 12), range(13)])
@pytest.mark.parametrize("save_logits", [False, True])
def test_rows_are_those_made_one_by_one(scored, failed, save_logits):
    labels = [None, *range(6), *range(6)]
    run = scored(labels=labels, places=[0, None, *[1, 0] * 5, 1], failed=failed)
    run.change(config=run.run.config.document() | {"save_logits": save_logits})
    run.logits["seraser"][5, 1] = np.nan
    table = run.predictions(range(13))
    expected = [literal_row(run, i, method) for i in range(13) for method in run.logits]
    assert table.schema.equals(with_footer(run.run), check_metadata=True)
    wanted = pa.Table.from_pylist(expected, schema=with_footer(run.run))
    exact = [name for name in table.column_names if name not in ROUNDED]
    assert table.select(exact).equals(wanted.select(exact))
    frames = (pl.DataFrame(one.select(ROUNDED)) for one in (table, wanted))
    assert_frame_equal(*frames, rel_tol=1e-6)
