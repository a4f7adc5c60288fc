"""Whether writing a shard would replace good rows by error rows.

A shard is computed again when its files are damaged or its commit is gone. When its images are gone
as well, or the network's way to them, that must not cost what was computed while they were there.
"""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seraser_core.results.schema import PREDICTIONS_SCHEMA

_KEY = ("item_index", "method")
Key = tuple[int, str]


def failed_rows(rows: pa.Table) -> dict[str, list[int]]:
    """Method -> item_index of its error rows, of methods that have some."""
    failed: dict[str, list[int]] = {}
    errors = rows.filter(pc.equal(rows["status"], "error")).select(_KEY)
    for item, method in zip(*(column.to_pylist() for column in errors), strict=True):
        failed.setdefault(method, []).append(item)
    return failed


def lost_rows(new: pa.Table, commit: dict[str, Any] | None, data: bytes | None) -> list[Key]:
    """Item index and method of the rows that were good before and would not be among `new`.

    Args:
        new: The rows of a shard that are to be written.
        commit: A commit of the shard, if it can be trusted; it names the rows that failed.
        data: The Parquet file that is there, be it of the commit or not; it counts unless it is
            damaged or has other rows.
    """
    failed = _keys(failed_rows(new))
    lost: set[Key] = set()
    if commit is not None:
        lost |= failed - _keys(commit["failed"])
    old = None if data is None else _rows(data, new)
    if old is not None:
        lost |= failed - _keys(failed_rows(old))
    return sorted(lost)


def _keys(failed: dict[str, list[int]]) -> set[Key]:
    return {(item, method) for method, items in failed.items() for item in items}


def _rows(data: bytes, new: pa.Table) -> pa.Table | None:
    """Those of a Parquet file, if they are the rows of the same images in the same run."""
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
