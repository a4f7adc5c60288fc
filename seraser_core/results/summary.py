"""The run's report, made of the shards' sums."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import polars as pl

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.results.disagreements import disagreements
from seraser_core.results.fingerprints import fingerprint
from seraser_core.results.reading import read_report
from seraser_core.results.records import Commit, ReportFiles, RunRecord
from seraser_core.results.report import make_report
from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import Damaged, Done, State, commits_of
from seraser_core.results.status import describe, describe_damage
from seraser_core.results.sums import MethodSums, merge
from seraser_core.results.tables import make_tables
from seraser_core.waiting import waiting

logger = logging.getLogger(__name__)
Tables = dict[str, pl.DataFrame]
"""``summary``, ``groups`` and ``classes``; without any label also ``disagreements``."""
_WRITTEN = ("", "plan", "attempts", "commits", "predictions", "failures", "report")
FILES = "files.json"
"""In RUN/report: what the report was made of, and the hashes of its files."""


@waiting("writing the report")
def aggregate(
    run_url: str, partial: bool = False, report: Callable[[str], None] | None = None
) -> Tables:
    """Merge the sums of all committed shards and write RUN/report.

    Args:
        run_url: The run directory.
        partial: Accept that shards are missing.
        report: Told of what makes the result worthless; it is logged when None.

    Returns:
        The tables, as written to ``report/<name>.parquet``.

    Raises:
        RunDirectoryError: Shards are missing, or none is there.
    """
    directory = RunDirectory(run_url)
    states = directory.states()
    commits, missing = commits_of(states), unfinished(states)
    if not commits or (missing and not partial):
        raise RunDirectoryError(_missing_text(directory, states))
    directory.restore(states)
    directory.tidy(states)
    sums = merge([commit.methods for commit in commits.values()])
    for warning in failed_entirely(sums):
        (report or logger.warning)(f"WARNING: {warning}")
    tables = make_tables(sums, directory.run)
    if is_audit(tables["summary"]):
        tables["disagreements"] = disagreements(directory, states)
    files = {f"{name}.parquet": _to_parquet(table) for name, table in tables.items()}
    files |= make_report(directory.run, tables, describe(directory, states), len(missing))
    for name, data in files.items():
        storage.write_bytes(directory.path("report", name), data)
    marks = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    listed = ReportFiles(commits=report_mark(commits, directory.run), files=marks)
    storage.write_bytes(directory.path("report", FILES), listed.sealed())
    for folder in _WRITTEN:
        storage.remove_unfinished(directory.path(folder))
    return tables


def _to_parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def unfinished(states: Mapping[str, State]) -> list[str]:
    """Ids of the shards that are not done."""
    return [name for name, state in states.items() if not isinstance(state, Done)]


def report_mark(commits: Mapping[str, Commit], run: RunRecord) -> str:
    """SHA-256 over what a report is made of.

    That is the shards, the predictions that their commits name, and what run.json says of the
    groups beside its fingerprint.
    """
    made_of: dict[str, Any] = {name: commit.sha256 for name, commit in commits.items()}
    if run.train_counts:
        made_of["train_counts"] = run.train_counts
    return fingerprint(made_of)


def is_finished(run_url: str) -> bool:
    """Return whether every shard is done and RUN/report is of all of them.

    Raises:
        RunDirectoryError: There is no run.
    """
    directory = RunDirectory(run_url)
    states = directory.states()
    if unfinished(states):
        return False
    directory.restore(states)
    try:
        summary = read_report(run_url, "summary").select("method", "images")
        listed = ReportFiles.read(directory.path("report", FILES))
    except (FileNotFoundError, RunDirectoryError, pl.exceptions.ColumnNotFoundError):
        return False
    whole = (summary["images"] == sum(map(len, directory.shards()))).all()
    current = listed.commits == report_mark(commits_of(states), directory.run)
    return bool(whole) and current and summary["method"].to_list() == directory.run.method_ids


def _missing_text(directory: RunDirectory, states: Mapping[str, State]) -> str:
    missing = unfinished(states)
    if not missing:
        return f"{directory.url}: no shards are planned"
    first = states[missing[0]]
    why = f" ({describe_damage(directory, first)})" if isinstance(first, Damaged) else ""
    return (
        f"{directory.url}: {len(missing)} of {len(states)} shards are missing, the first is "
        f"{missing[0]}{why}; `seraser repair {directory.url}` computes them"
    )


def failed_entirely(sums: Mapping[str, MethodSums]) -> Iterator[str]:
    """One line for every method without a single good row; one in all when all are alike."""
    failed = {
        method: ", ".join(f"{code} {n:,}" for code, n in of_method.errors.items())
        for method, of_method in sums.items()
        if of_method.rows and not of_method.ok
    }
    if len(failed) == len(sums) and len({*failed.values()}) == 1:
        yield f"every image failed: {next(iter(failed.values()))}"
        return
    for method, codes in failed.items():
        yield f"every image failed under {method}: {codes}"


def is_audit(summary: pl.DataFrame) -> bool:
    """Return whether no image has a label."""
    return not summary["n"].sum()
