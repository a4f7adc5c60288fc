"""From the shards' sums to the run's report."""

from __future__ import annotations

import io
from typing import Any

import polars as pl

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.results.metrics import count_rows, merge
from seraser_core.results.reading import scan
from seraser_core.results.report import write_report
from seraser_core.results.run_directory import RunDirectory
from seraser_core.results.status import status
from seraser_core.results.tables import classes, groups, summarise

Tables = dict[str, pl.DataFrame]
"""``summary``, ``groups`` and ``classes``."""


def aggregate(run_url: str, partial: bool = False) -> Tables:
    """Merge the sums of all committed shards and write RUN/report.

    Args:
        run_url: The run directory.
        partial: Accept that shards are missing.

    Returns:
        The tables, as written to ``report/<name>.parquet``.

    Raises:
        RunDirectoryError: Shards are missing, or none is there.
    """
    directory = RunDirectory(run_url)
    run, planned, parts = directory.run(), directory.shards(), directory.done_metrics()
    missing = [shard.id for shard in planned if shard.id not in parts]
    if not parts or (missing and not partial):
        raise RunDirectoryError(
            f"{run_url}: {len(missing)} of {len(planned)} shards are missing, the first is "
            f"{missing[0]}; run the same configuration again to compute them"
        )
    sums = merge(list(parts.values()))
    tables = make_tables(sums, run)
    for name, table in tables.items():
        buffer = io.BytesIO()
        table.write_parquet(buffer)
        storage.write_bytes(directory.path("report", f"{name}.parquet"), buffer.getvalue())
    write_report(directory, run, tables, status(run_url), len(missing))
    return tables


def make_tables(sums: dict[str, Any], run: dict[str, Any]) -> Tables:
    """The tables of merged sums."""
    return {
        "summary": summarise(sums, run),
        "groups": groups(sums, run),
        "classes": classes(sums, run),
    }


def from_parquet(run_url: str) -> Tables:
    """The tables made from the prediction rows alone; they lack NLL and Brier score.

    Raises:
        RunDirectoryError: There is no run.
    """
    run = RunDirectory(run_url).run()
    methods = [method["id"] for method in run["methods"]]
    return make_tables({"methods": count_rows(scan(run_url).collect(), methods)}, run)
