"""`seraser report`: tables and page of a run, a series or several runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from seraser_core.cli.arguments import JsonOption, MarkdownOption, RunsArgument
from seraser_core.cli.console import results, say_next
from seraser_core.cli.pages import OpenOption, open_page, page_of
from seraser_core.cli.several import Done, each_run, show_each
from seraser_core.cli.summary_tables import show_summary


def report(
    runs: RunsArgument,
    open_: OpenOption = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Accept that shards are missing.")
    ] = False,
    json: JsonOption = False,
    markdown: MarkdownOption = False,
) -> None:
    """Merge the shards of RUN, write its report, and show the figures.

    Of several runs, their comparison is written beside the first one. RUN may be a comparison:
    then all its runs are merged, and then the comparison. Of a series, the shards of all runs are
    merged into one report. Every run that ends has written its own to RUN/report.
    """
    from seraser_core.results.comparison import comparison_of
    from seraser_core.results.nights import is_series
    from seraser_core.results.summary import aggregate

    def merge(url: str) -> Any:
        return aggregate(url, partial=partial)

    if len(runs) > 1:
        url = comparison_of(runs)
        show_compared(url, each_run(url, merge) or [], json)
    elif (done := None if is_series(url := runs[0]) else each_run(url, merge)) is not None:
        show_compared(url, done, json)
    else:
        tables = merge(url)
        show_summary(tables["summary"], tables["groups"], url, json, tables.get("nights"))
        if not json:
            show_places(url)
    if open_:
        open_page(page_of(url))
    if not json:
        say_next(*(("shortcuts", url) if open_ else ("report", url, "--open")))


def show_compared(url: str, done: Sequence[Done[Any]], json: bool) -> None:
    """Write and show the table of a comparison whose runs were merged.

    Raises:
        typer.Exit: Runs failed, and the table stays as it is.
    """
    from seraser_core.cli.compare import show_comparison
    from seraser_core.results.comparison import write_comparison

    stop_at_faults(url, done, json)
    tables = write_comparison(url)
    show_comparison(tables, url, json)


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
        show_places(run_url)
        say_next("report", run_url, "--open")


def show_places(run_url: str) -> None:
    """Print where a run, or a series, and its page are."""
    from seraser_core.results.nights import is_series

    results.print(f"{'series' if is_series(run_url) else 'run   '} {run_url}")
    results.print(f"report {page_of(run_url)}")
