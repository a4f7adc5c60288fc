"""Whether writing a shard would replace good rows by error rows.

A shard is computed again when its files are damaged or its commit is gone. When its images are gone
as well, or the network's way to them, that must not cost what was computed while they were there.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seraser_core.results.schema import PREDICTIONS_SCHEMA

_KEY = ("item_index", "method")


@dataclass(frozen=True)
class Witnesses:
    """What the files of a shard, as they are before it is written, say of its rows.

    Attributes:
        commit: Its commit, if it can be trusted; it names the rows that failed.
        rows: Its Parquet file, be it of the commit or not; it counts unless it is damaged or has
            other rows.
        metrics: Its metrics, if they can be trusted; they count the rows that failed, should
            nothing name them.
        there: Whether there is any of these files, however damaged.
    """

    commit: dict[str, Any] | None
    rows: bytes | None
    metrics: dict[str, Any] | None
    there: bool


def failed_rows(rows: pa.Table) -> dict[str, list[int]]:
    """Method -> item_index of its error rows, of methods that have some."""
    failed: dict[str, list[int]] = {}
    errors = rows.filter(pc.equal(rows["status"], "error")).select(_KEY)
    for item, method in zip(*(column.to_pylist() for column in errors), strict=True):
        failed.setdefault(method, []).append(item)
    return failed


def what_is_lost(new: pa.Table, before: Witnesses) -> str | None:
    """What would be lost if `new` were the rows of a shard, in words; None when nothing is."""
    failed = failed_rows(new)
    if not failed:
        return None
    named = []
    if before.commit is not None:
        named.append(before.commit["failed"])
    if (old := _rows_of(before.rows, new)) is not None:
        named.append(failed_rows(old))
    for earlier in named:
        lost = sorted(
            (item, method)
            for method, items in failed.items()
            for item in set(items) - set(earlier.get(method, ()))
        )
        if lost:
            example = _described(new, *lost[0])
            return f"{len(lost)} rows that were good would become errors, e.g. {example}"
    if named:
        return None
    for method, items in failed.items():
        example = _described(new, items[0], method)
        if before.metrics is not None:
            errors = sum(before.metrics["methods"][method].errors.values())
            if len(items) > errors:
                return f"{len(items)} rows would be errors where {errors} were, e.g. {example}"
        elif before.there:
            return (
                f"{len(items)} rows would be errors, e.g. {example}, and what is there is too "
                "damaged to tell whether they were good"
            )
    return None


def _described(rows: pa.Table, item: int, method: str) -> str:
    of_row = (pc.field("item_index") == item) & (pc.field("method") == method)
    row = rows.filter(of_row).to_pylist()[0]
    return f"{method} of {row['item_id']}: {row['error_message']}"


def _rows_of(data: bytes | None, new: pa.Table) -> pa.Table | None:
    """Those of a Parquet file, if they are the rows of the same images in the same run."""
    if data is None:
        return None
    try:
        old = pq.read_table(io.BytesIO(data))
        if not old.schema.equals(PREDICTIONS_SCHEMA) or not old.select(_KEY).equals(
            new.select(_KEY)
        ):
            return None
    except (pa.ArrowException, OSError, ValueError):  # damaged
        return None
    footer = b"seraser_fingerprint"
    same = (old.schema.metadata or {}).get(footer) == (new.schema.metadata or {}).get(footer)
    return old if same else None
