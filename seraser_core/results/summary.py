"""The run's report, made of the shards' sums."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.report.page import make_report
from seraser_core.results.counted import CountedRun
from seraser_core.results.disagreements import disagreements
from seraser_core.results.fingerprints import fingerprint
from seraser_core.results.losses import with_losses
from seraser_core.results.nights import is_series
from seraser_core.results.reading import read_report
from seraser_core.results.records import Commit, ReportFiles, RunRecord
from seraser_core.results.samples import failed_pictures_of, pictures_of, read_samples
from seraser_core.results.series import RUNS_AT_ONCE, Series
from seraser_core.results.shards import RunDirectory
from seraser_core.results.shortcuts import FINDINGS, find_in
from seraser_core.results.states import Damaged, Done, State, commits_of
from seraser_core.results.status import describe, describe_damage, describe_series
from seraser_core.results.sums import MethodSums, merge
from seraser_core.results.tables import make_nights, make_tables
from seraser_core.waiting import waiting

logger = logging.getLogger(__name__)
Tables = dict[str, pl.DataFrame]
"""``summary``, ``groups``, ``classes``; in an audit ``disagreements``; of a series ``nights`` and
``night_groups``."""
_WRITTEN = (
    *("", "plan", "attempts", "commits", "predictions", "samples", "failures"),
    *("report", "series"),
)
_NO_SCORES = (
    "NLL and Brier score are not known: images were evaluated again, and what their old rows added "
    "to these can only be told with save_logits"
)
FILES = "files.json"
"""In RUN/report: what the report was made of, and the hashes of its files."""


@waiting("writing the report")
def aggregate(
    run_url: str, partial: bool = False, report: Callable[[str], None] | None = None
) -> Tables:
    """Merge the sums of all committed shards and write RUN/report.

    Args:
        run_url: The run directory, or a series: then its report is of all its runs.
        partial: Accept that shards are missing.
        report: Told of what makes the result worthless; it is logged when None.

    Returns:
        The tables, as written to ``report/<name>.parquet``.

    Raises:
        RunDirectoryError: Shards are missing, or none is there.
    """
    series = Series(run_url) if is_series(run_url) else None
    runs = [_counted(RunDirectory(run_url))] if series is None else series.counted()
    _check_there(runs, partial)
    for run in runs:
        run.directory.restore(run.states)
        run.directory.tidy(run.states)
    sums = merged(runs)
    warn = logger.warning if report is None else lambda text: report(f"WARNING: {text}")
    for warning in failed_entirely(sums):
        warn(warning)
    record, missing = runs[-1].directory.run, sum(len(unfinished(run.states)) for run in runs)
    if series is None:
        tables, status = make_tables(sums, record), describe(runs[0].directory, runs[0].states)
        mark = report_mark(runs[0].commits, record)
    else:
        record = record.model_copy(update={"run_id": series.name})
        tables, status = series_tables(runs), describe_series(series, runs)
        mark = series_report_mark(runs)
    if is_audit(tables["summary"]):
        tables["disagreements"] = disagreements(runs)
    if series is not None and any(s.nll is None and s.probabilistic for s in sums.values()):
        warn(_NO_SCORES)
    files = {f"{name}.parquet": _to_parquet(table) for name, table in tables.items()}
    sample = read_samples(runs)
    findings = find_in(runs, sample)
    files[FINDINGS] = findings.model_dump_json(indent=1).encode()
    pictures = pictures_of(sample)
    if findings.eraser is not None:
        pictures = with_losses(pictures, runs, findings.eraser)
    failed = failed_pictures_of(sample)
    files |= make_report(record, tables, status, missing, sums, findings, pictures, failed)
    for name, data in files.items():
        storage.write_bytes(storage.join(run_url, "report", name), data)
    marks = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    listed = ReportFiles(commits=mark, files=marks)
    storage.write_bytes(storage.join(run_url, "report", FILES), listed.sealed())
    for folder in _WRITTEN:
        storage.remove_unfinished(storage.join(run_url, folder))
    return tables


def _counted(directory: RunDirectory) -> CountedRun:
    return CountedRun(directory, directory.states())


def merged(runs: Iterable[CountedRun]) -> dict[str, MethodSums]:
    """Method id -> sums of the rows that count, over the shards of these runs that are done."""
    return merge([sums for run in runs for sums in run.sums.values()])


def series_tables(runs: Sequence[CountedRun]) -> Tables:
    """The tables of a series, made of the sums of its runs' commits.

    Args:
        runs: Its runs, in order.
    """
    nights = make_nights([(run.directory.run, run.merged) for run in runs])
    return make_tables(merged(runs), runs[-1].directory.run) | nights


def series_report_mark(runs: Iterable[CountedRun]) -> str:
    """SHA-256 over what the report of a series is made of, see `report_mark`."""
    records = [(run.directory.run, run.commits) for run in runs]
    return fingerprint({record.run_id: report_mark(commits, record) for record, commits in records})


def _check_there(runs: Sequence[CountedRun], partial: bool) -> None:
    """See that there is enough for a report.

    Raises:
        RunDirectoryError: As of `aggregate`.
    """
    lacking = [run for run in runs if unfinished(run.states)]
    if not any(run.commits for run in runs):
        raise _missing(runs[0].directory, runs[0].states)
    if lacking and not partial:
        raise _missing(lacking[0].directory, lacking[0].states)


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


def is_series_finished(series_url: str) -> bool:
    """Return whether all runs of a series are finished and its report is of all of them.

    Raises:
        RunDirectoryError: A night or its run is damaged, or there is none.
    """
    if unfinished_runs(series_url):
        return False
    try:
        listed = ReportFiles.read(storage.join(series_url, "report", FILES))
    except (FileNotFoundError, RunDirectoryError):
        return False
    return listed.commits == series_report_mark(Series(series_url).counted())


def unfinished_runs(series_url: str) -> list[str]:
    """URLs of the runs of a series that are not finished, in order.

    Raises:
        RunDirectoryError: A night or its run is damaged, or there is none.
    """
    urls = [run.url for run in Series(series_url).runs()]
    with ThreadPoolExecutor(RUNS_AT_ONCE) as pool:
        finished = pool.map(is_finished, urls)
        return [url for url, done in zip(urls, finished, strict=True) if not done]


def _missing(directory: RunDirectory, states: Mapping[str, State]) -> RunDirectoryError:
    missing = unfinished(states)
    if not missing:
        return RunDirectoryError(f"{directory.url}: no shards are planned")
    first = states[missing[0]]
    why = f" ({describe_damage(directory, first)})" if isinstance(first, Damaged) else ""
    return RunDirectoryError(
        f"{directory.url}: {len(missing)} of {len(states)} shards are missing, the first is "
        f"{missing[0]}{why}",
        f"`seraser repair {directory.url}` computes them",
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
