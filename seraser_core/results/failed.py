"""The images of a run that could not be used."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable

import polars as pl

from seraser_core.errors import RunDirectoryError
from seraser_core.results import records
from seraser_core.results.counted import CountedRun
from seraser_core.results.states import Done

_COLUMNS = ("item_index", "item_id", "method", "status", "error_code", "error_message")
MOST = 5


def first_failed(runs: Iterable[CountedRun]) -> list[str]:
    """The first images that could not be used, in order, each with its reason.

    A method that alone could not use an image is named.

    Args:
        runs: The runs that are looked at, in order.
    """
    reasons: list[str] = []
    for run in runs:
        of_run: dict[int, str] = {}
        for state in run.states.values():
            if not isinstance(state, Done) or not state.commit.errors:
                continue
            rows = run.that_count(_errors(run.directory.path(state.file))).to_dicts()
            failed = Counter(row["item_index"] for row in rows)
            for row in rows:
                some = failed[row["item_index"]] < len(run.directory.run.methods)
                who = f" under {row['method']}" if some else ""
                text = f"{row['item_id']}{who}: {row['error_code']}: {row['error_message']}"
                of_run.setdefault(row["item_index"], text)
            if len(reasons) + len(of_run) >= MOST:
                break
        reasons += of_run.values()
        if len(reasons) >= MOST:
            break
    return reasons[:MOST]


def _errors(url: str) -> pl.DataFrame:
    try:
        data = records.read(url)
        rows = pl.read_parquet(io.BytesIO(data), columns=list(_COLUMNS))
    except (FileNotFoundError, RunDirectoryError, pl.exceptions.PolarsError):
        # What is wrong with it, `verify` tells.
        return pl.DataFrame(schema=dict.fromkeys(_COLUMNS, pl.String))
    return rows.filter(pl.col("status") == "error").sort("item_index")
