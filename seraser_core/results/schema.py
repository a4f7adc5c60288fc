"""The Arrow schema of prediction rows."""

from __future__ import annotations

import json

import pyarrow as pa

from seraser_core.results.records import RunRecord
from seraser_core.sources.items import group_name as named

SCHEMA_VERSION = 2
TOP = 5

PREDICTIONS_SCHEMA = pa.schema(
    [
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("stateful", pa.bool_(), nullable=False),
        pa.field("item_index", pa.int64(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        pa.field("label", pa.int32()),
        pa.field("label_name", pa.string()),
        pa.field("attribute", pa.int32()),
        pa.field("group", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("error_stage", pa.string()),
        pa.field("error_code", pa.string()),
        pa.field("error_message", pa.string()),
        pa.field("prediction", pa.int32()),
        pa.field("prediction_name", pa.string()),
        pa.field("confidence", pa.float32()),
        pa.field("correct", pa.bool_()),
        pa.field("zero_shot_prediction", pa.int32()),
        pa.field("zero_shot_confidence", pa.float32()),
        pa.field("zero_shot_correct", pa.bool_()),
        pa.field("top_classes", pa.list_(pa.int32())),
        pa.field("top_probabilities", pa.list_(pa.float32())),
        pa.field("logits", pa.list_(pa.float32())),
        pa.field("loss_first", pa.float32()),
        pa.field("loss_last", pa.float32()),
        pa.field("steps", pa.int32()),
    ]
)


def with_footer(run: RunRecord) -> pa.Schema:
    """The schema with version, fingerprint and methods in its metadata."""
    return PREDICTIONS_SCHEMA.with_metadata(
        {
            "seraser_schema_version": str(SCHEMA_VERSION),
            "seraser_fingerprint": run.fingerprint,
            "seraser_methods": json.dumps(
                [method.model_dump(mode="json") for method in run.methods], sort_keys=True
            ),
        }
    )


def group_name(run: RunRecord, label: int | None, attribute: int | None) -> str | None:
    """``label / attribute`` by name where names are known; None without both."""
    if label is None or attribute is None:
        return None
    return named(run.classes, run.attributes, label, attribute)
