"""The images of a run that could not be used."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import polars as pl

from seraser_core.errors import RunDirectoryError
from seraser_core.results import documents
from seraser_core.results.run_directory import RunDirectory

_COLUMNS = ("item_index", "item_id", "status", "error_code", "error_message")
MOST = 5


def first_failed(directory: RunDirectory, commits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The first images that no method could use, in order, each with its reason.

    Args:
        directory: The run.
        commits: Shard id -> commit, of the shards that are done.
    """
    found: dict[int, str] = {}
    for shard_id in sorted(name for name, commit in commits.items() if commit["errors"]):
        for row in _errors(directory, shard_id):
            text = f"{row['item_id']}: {row['error_code']}: {row['error_message']}"
            found.setdefault(row["item_index"], text)
            if len(found) == MOST:
                return list(found.values())
    return list(found.values())


def _errors(directory: RunDirectory, shard_id: str) -> list[dict[str, Any]]:
    try:
        data = documents.read(directory.predictions_path(shard_id))
        rows = pl.read_parquet(io.BytesIO(data), columns=list(_COLUMNS))
    except (FileNotFoundError, RunDirectoryError, pl.exceptions.PolarsError):
        return []  # what is wrong with it, `verify` tells
    return rows.filter(pl.col("status") == "error").sort("item_index").to_dicts()
