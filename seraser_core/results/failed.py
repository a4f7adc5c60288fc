"""The images of a run that could not be used."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from typing import Any

import polars as pl

from seraser_core.errors import RunDirectoryError
from seraser_core.results import records
from seraser_core.results.shards import RunStates
from seraser_core.results.states import Done

_COLUMNS = ("item_index", "item_id", "method", "status", "error_code", "error_message")
MOST = 5


def first_failed(runs: Iterable[RunStates]) -> list[str]:
    """The first images that could not be used, in order, each with its reason.

    A method that alone could not use an image is named.

    Args:
        runs: Runs with the states of their shards.
    """
    reasons: list[str] = []
    for directory, states in runs:
        of_run: dict[int, str] = {}
        for state in states.values():
            if not isinstance(state, Done) or not state.commit.errors:
                continue
            rows = _errors(directory.path(state.file))
            failed = Counter(row["item_index"] for row in rows)
            for row in rows:
                some = failed[row["item_index"]] < len(directory.run.methods)
                who = f" under {row['method']}" if some else ""
                text = f"{row['item_id']}{who}: {row['error_code']}: {row['error_message']}"
                of_run.setdefault(row["item_index"], text)
            if len(reasons) + len(of_run) >= MOST:
                break
        reasons += of_run.values()
        if len(reasons) >= MOST:
            break
    return reasons[:MOST]


def _errors(url: str) -> list[dict[str, Any]]:
    try:
        data = records.read(url)
        rows = pl.read_parquet(io.BytesIO(data), columns=list(_COLUMNS))
    except (FileNotFoundError, RunDirectoryError, pl.exceptions.PolarsError):
        return []  # what is wrong with it, `verify` tells
    return rows.filter(pl.col("status") == "error").sort("item_index").to_dicts()
