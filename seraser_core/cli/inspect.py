"""`seraser status`, `verify` and `summary`: what a run directory holds."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seraser_core.cli.arguments import JsonOption, RunArgument
from seraser_core.cli.console import errors, print_json, print_table, results
from seraser_core.cli.several import Done, each_run, show_each
from seraser_core.cli.status_lines import (
    STATUS_COLUMNS,
    WORKER_COLUMNS,
    first_unusable,
    status_lines,
    status_row,
    unusable,
    worker_rows,
    workers_title,
)
from seraser_core.display import Column, count

if TYPE_CHECKING:
    import polars as pl

    from seraser_core.results.problems import VerifyReport

_MOST_DISAGREEMENTS = 10
_MOST_NIGHTS = 10


def status(
    run: RunArgument,
    watch: Annotated[
        float | None,
        typer.Option(min=1, metavar="SECONDS", help="Look again and again, until it is finished."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show how far RUN is, who computes it, what failed, how fast it was and what bounded it.

    RUN may be a comparison or a series: then it is one line per run, and of a series also what
    there is to tell of the whole. Exit code 1 when shards failed in their last attempt.
    """
    from seraser_core.results.nights import is_series
    from seraser_core.results.status import status as read_status

    if watch is not None:
        from seraser_core.cli.watch import watch_run

        if watch_run(run, watch, json):
            raise typer.Exit(1)
        return
    done = each_run(run, read_status)
    if done is not None:
        whole = read_status(run) if is_series(run) and not any(one.fault for one in done) else {}
        more = {"result": whole} if whole else None
        show_each(run, done, "runs", STATUS_COLUMNS, status_row, dict, json, more)
        if whole and not json:
            for line in status_lines(whole):
                results.print(line)
        failed = any(one.result["failures"] for one in done if one.result is not None)
    else:
        facts = read_status(run)
        failed = bool(facts["failures"])
        if json:
            print_json(facts)
        else:
            for line in status_lines(facts):
                results.print(line)
            if rows := worker_rows(facts, time.time()):
                print_table(workers_title(facts), WORKER_COLUMNS, rows)
    if failed:
        raise typer.Exit(1)


def verify(
    run: RunArgument,
    deep: Annotated[
        bool, typer.Option("--deep", help="Load and hash the model's weights as well.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Re-read everything in RUN, hash it and compare it; exit code 1 when it disagrees.

    Sums and report are made again from the rows. `seraser repair` fixes the problems. RUN may be a
    comparison or a series: then all its runs are verified, and the nights and report of a series.
    """
    from seraser_core.results.verify_series import verify_series

    done = each_run(run, lambda url: _verified(url, deep), verify_series)
    if done is None:
        show_problems(_verified(run, deep), json)
    else:
        show_all_problems(run, done, json)


def _verified(run: str, deep: bool) -> VerifyReport:
    if deep:
        from seraser_core.runner.verify_weights import verify_deep

        return verify_deep(run)
    from seraser_core.results.verify import verify as read_again

    return read_again(run)


def show_problems(report: VerifyReport, json: bool) -> None:
    """Print what `verify` found.

    Raises:
        typer.Exit: There are problems.
    """
    if json:
        print_json(dataclasses.asdict(report))
    else:
        for line in (*report.problems, *(f"not checked: {text}" for text in report.unchecked)):
            results.print(str(line))
        problem_count = len(report.problems)
        results.print(
            f"{count(problem_count, 'problem') if problem_count else 'clean'}: {report.done} of "
            f"{count(report.shards, 'shard')} done, {count(report.rows, 'row')}",
        )
    if report.problems:
        raise typer.Exit(1)


def show_all_problems(url: str, done: Sequence[Done[VerifyReport]], json: bool) -> None:
    """Print what `verify` found in the runs of a comparison or a series.

    Raises:
        typer.Exit: There are problems.
    """
    if not json:
        for one in done:
            for line in (*one.result.problems, *one.result.unchecked) if one.result else ():
                results.print(f"{one.url}: {line}")

    def row(report: VerifyReport) -> dict[str, Any]:
        problem_count = len(report.problems)
        return {
            "found": count(problem_count, "problem") if problem_count else "clean",
            "shards": f"{report.done:,} of {report.shards:,}",
            "rows": report.rows,
        }

    show_each(url, done, "runs", ("found", "shards", "rows"), row, dataclasses.asdict, json)
    if any(one.result.problems for one in done if one.result is not None):
        raise typer.Exit(1)


def summary(
    run: RunArgument,
    partial: Annotated[
        bool, typer.Option("--partial", help="Accept that shards are missing.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Merge the shards of RUN into its summary, write RUN/report and show the accuracies.

    RUN may be a comparison: then all its runs are merged, and then the comparison. Of a series,
    the shards of all runs are merged into one summary.
    """
    from seraser_core.results.nights import is_series
    from seraser_core.results.summary import aggregate

    def merge(url: str) -> Any:
        return aggregate(url, partial=partial)

    done = None if is_series(run) else each_run(run, merge)
    if done is not None:
        show_compared(run, done, json)
        return
    tables = merge(run)
    show_summary(tables["summary"], tables["groups"], run, json, tables.get("nights"))


def show_compared(url: str, done: Sequence[Done[Any]], json: bool) -> None:
    """Write and show the table of a comparison whose runs were merged.

    Raises:
        typer.Exit: Runs failed, and the table stays as it is.
    """
    from seraser_core.cli.compare import show_comparison
    from seraser_core.results.comparison import write_comparison

    stop_at_faults(url, done, json)
    tables = write_comparison(url)
    show_comparison(tables["comparison"], tables["ranks"], url, json)


def stop_at_faults(url: str, done: Sequence[Done[Any]], json: bool) -> None:
    """Show which runs of a comparison or a series were merged, if not all of them.

    Raises:
        typer.Exit: Runs failed.
    """
    if any(one.fault is not None for one in done):
        show_each(url, done, "runs", ("merged",), lambda _: {"merged": "yes"}, None, json)


def show_run(run_url: str, json: bool) -> None:
    """Show the report that a finished run, or series, has written."""
    from seraser_core.results.nights import is_series
    from seraser_core.results.reading import read_report

    nights = read_report(run_url, "nights") if is_series(run_url) else None
    summary, groups = read_report(run_url, "summary"), read_report(run_url, "groups")
    show_summary(summary, groups, run_url, json, nights)
    if not json:
        results.print(f"{'run   ' if nights is None else 'series'} {run_url}")
        results.print(f"report {run_url}/report/report.html")


def show_summary(
    summary: pl.DataFrame,
    groups: pl.DataFrame,
    run_url: str,
    json: bool,
    nights: pl.DataFrame | None = None,
) -> None:
    """Print the tables, and the images that could not be used; `nights` are those of a series."""
    if json:
        say_errors(summary, run_url, json)
        say_warnings(run_url)
        document = {"run": run_url, "summary": summary.to_dicts(), "groups": groups.to_dicts()}
        if nights is not None:
            document["nights"] = nights.to_dicts()
        if (disagreed := _disagreements(summary, run_url)) is not None:
            document["disagreements"] = disagreed.to_dicts()
        print_json(document)
        return
    from seraser_core.results.columns import GROUPS, METHODS, Shown, shown_in

    columns = shown_in(Shown.SUMMARY, METHODS)
    if not summary["errors"].sum():
        columns = [column for column in columns if column.name != "errors"]
    print_table("methods", columns, summary.to_dicts())
    if groups.height:
        print_table("groups", shown_in(Shown.SUMMARY, GROUPS), groups.to_dicts())
    if nights is not None:
        _show_nights(nights, run_url)
    say_small_groups(summary)
    show_disagreements(summary, run_url)
    say_errors(summary, run_url, json)
    say_warnings(run_url)


def _show_nights(nights: pl.DataFrame, series_url: str) -> None:
    """Show the last nights of a series."""
    from seraser_core.results.columns import NIGHTS, Shown, shown_in

    rows = nights.to_dicts()
    last = [row for row in rows if row["night"] > rows[-1]["night"] - _MOST_NIGHTS]
    print_table("nights", shown_in(Shown.SUMMARY, NIGHTS), last)
    if len(last) < len(rows):
        results.print(f"all nights are in {series_url}/report/nights.parquet")


def show_disagreements(summary: pl.DataFrame, run_url: str) -> None:
    """Show the images of an audit on which the methods disagree most."""
    from seraser_core.results.disagreements import beside_each_other

    table = _disagreements(summary, run_url)
    if table is None:
        return
    if not table.height:
        results.print("the methods agree on every image")
        return
    names, rows = beside_each_other(table, _MOST_DISAGREEMENTS)
    print_table("where the methods disagree most", [Column(n, words=n) for n in names], rows)
    if table.height > len(rows):
        results.print(f"{table.height} of them are in {run_url}/report/disagreements.parquet")


def _disagreements(summary: pl.DataFrame, run_url: str) -> pl.DataFrame | None:
    """Read the disagreements of an audit's report; None if the report has none."""
    from seraser_core.errors import RunDirectoryError
    from seraser_core.results.reading import read_report

    if summary["n"].sum():
        return None
    try:
        return read_report(run_url, "disagreements")
    except RunDirectoryError:
        return None


def say_small_groups(summary: pl.DataFrame) -> None:
    """Say how many groups are left out of the worst group."""
    from seraser_core.results.tables import small_groups_text

    if "small_groups" in summary.columns and (text := small_groups_text(summary)):
        results.print(text)


def say_errors(summary: pl.DataFrame, run_url: str, json: bool) -> None:
    """Say how many images have error rows and why, beside the results when those are JSON."""
    failed = summary["errors"].max()
    if not failed:
        return
    from seraser_core.results.status import status as read_status

    facts = read_status(run_url)
    console = errors if json else results
    console.print(f"{count(int(str(failed)), 'image')} could not be used: {unusable(facts)}")
    for line in first_unusable(facts):
        console.print(line)


def say_warnings(run_url: str, name: str = "") -> None:
    """Print the doubts about a run's pictures and foregrounds, under its name if there is one."""
    from seraser_core.results.status import status as read_status

    for warning in read_status(run_url)["warnings"]:
        errors.print(f"WARNING: {name}{warning}")
