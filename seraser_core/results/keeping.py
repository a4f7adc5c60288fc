"""Whether writing a shard would replace good rows by error rows.

A shard is computed again when its files are damaged or its commit is gone. When its images are gone
as well, or the network's way to them, that must not cost what was computed while they were there.
"""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from seraser_core.results.schema import PREDICTIONS_SCHEMA

_KEY = ("item_index", "method")


def lost_rows(new: pa.Table, commit: dict[str, Any] | None, data: bytes | None) -> int:
    """The number of rows that were good before and would not be among `new`.

    Args:
        new: The rows of a shard that are to be written.
        commit: The last commit of the shard that can be trusted.
        data: The Parquet file that is there, of the commit or of any other origin.
    """
    intact = data is not None and (
        commit is None or hashlib.sha256(data).hexdigest() == commit["sha256"]
    )
    old = _rows(data, new) if data is not None and intact else None
    if old is not None:
        return len(_good(old) - _good(new))
    if commit is None:
        return 0
    return max(0, commit["ok"] - len(_good(new)))


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


def _good(rows: pa.Table) -> set[tuple[int, str]]:
    columns = (rows[name].to_pylist() for name in (*_KEY, "status"))
    return {(item, method) for item, method, status in zip(*columns, strict=True) if status == "ok"}
