"""Comparing the nights of a series with each other, and its report with its runs."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from seraser_core.results.disagreements import disagreements
from seraser_core.results.nights import Night, night_file
from seraser_core.results.problems import Problem, VerifyReport
from seraser_core.results.series import Series, series_mark
from seraser_core.results.shards import RunDirectory
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
    nights, runs = series.nights(), series.counted()
    report.problems += _night_problems(nights, [run.directory for run in runs])

    def tables() -> Tables:
        made = series_tables(runs)
        if is_audit(made["summary"]):
            made["disagreements"] = disagreements(runs)
        return made

    commits = [commit for run in runs for commit in run.commits.values()]
    if commits:
        report.problems += report_problems(series.url, series_report_mark(runs), tables)
    report.shards = sum(len(run.directory.shards()) for run in runs)
    report.done = len(commits)
    report.rows = sum(commit.rows for commit in commits)
    report.images = sum(run.images for run in runs)
    return report


def _night_problems(nights: list[Night], runs: list[RunDirectory]) -> Iterator[Problem]:
    """Runs that are not alike, and images that two of them have though no night says so."""
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
    found = {n: (count, f", e.g. {first}") for n, count, first in counts.iter_rows()}
    for night in nights:
        count, example = found.get(night.n, (0, ""))
        if count != night.again:
            what = f"says that earlier runs have {night.again:,} of its images, not {count:,}"
            yield Problem(night_file(night.n), what + example)
