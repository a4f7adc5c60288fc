"""Comparing the nights of a series with each other, and its report with its runs."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from seraser_core.results.disagreements import disagreements
from seraser_core.results.nights import night_file
from seraser_core.results.problems import Problem, VerifyReport
from seraser_core.results.series import Series, series_mark
from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import commits_of
from seraser_core.results.summary import Tables, is_audit, series_report_mark, series_tables
from seraser_core.results.verify_report import report_problems
from seraser_core.waiting import waiting


@waiting("re-reading the nights")
def verify_series(series_url: str) -> VerifyReport:
    """Read the nights and the report of a series again; `verify` reads its runs.

    Raises:
        RunDirectoryError: A night or its run cannot be read.
    """
    series, report = Series(series_url), VerifyReport(series_url)
    runs = [(run, run.states()) for run in series.runs()]
    report.problems += _night_problems([run for run, _ in runs])

    def tables() -> Tables:
        made = series_tables(runs)
        if is_audit(made["summary"]):
            made["disagreements"] = disagreements(runs)
        return made

    commits = [commit for _, states in runs for commit in commits_of(states).values()]
    if commits:
        report.problems += report_problems(series.url, series_report_mark(runs), tables)
    report.shards = sum(len(run.shards()) for run, _ in runs)
    report.done = len(commits)
    report.rows = sum(commit.rows for commit in commits)
    report.images = sum(commit.images for commit in commits)
    return report


def _night_problems(runs: list[RunDirectory]) -> Iterator[Problem]:
    """Runs that are not alike, and images that two of them have."""
    marks = [series_mark(run.run.fingerprint_inputs.document()) for run in runs]
    for n, mark in enumerate(marks):
        if mark != marks[0]:
            yield Problem(night_file(n), "its run differs from the first one in more than images")
    images = pl.concat(
        pl.DataFrame(run.item_columns(["item_id"])).with_columns(n=pl.lit(n))
        for n, run in enumerate(runs)
    )
    known = pl.col("n") > pl.col("n").min().over("item_id")
    again = images.filter(pl.col("item_id").is_duplicated()).filter(known)
    counts = again.group_by("n").agg(pl.len(), pl.col("item_id").min()).sort("n")
    for n, count, first in counts.iter_rows():
        yield Problem(night_file(n), f"{count:,} images are in earlier runs too, e.g. {first}")
