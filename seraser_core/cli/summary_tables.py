"""The tables of a report on the terminal, and what makes them doubtful."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seraser_core.cli.console import errors, print_json, print_table, results
from seraser_core.cli.status_lines import first_unusable, unusable
from seraser_core.display import Column, count

if TYPE_CHECKING:
    import polars as pl

_MOST_DISAGREEMENTS = 10
_MOST_NIGHTS = 10


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
        if (headline := _table_of(run_url, "headline")) is not None:
            document["headline"] = headline.to_dicts()
        if (disagreed := _disagreements(summary, run_url)) is not None:
            document["disagreements"] = disagreed.to_dicts()
        print_json(document)
        return
    from seraser_core.results.columns import GROUPS, HEADLINE, METHODS, Shown, shown_in

    columns = shown_in(Shown.SUMMARY, METHODS)
    if not summary["errors"].sum():
        columns = [column for column in columns if column.name != "errors"]
    print_table("methods", columns, summary.to_dicts())
    if groups.height:
        print_table("groups", shown_in(Shown.SUMMARY, GROUPS), groups.to_dicts())
    if (headline := _table_of(run_url, "headline")) is not None:
        print_table("headline", shown_in(Shown.SUMMARY, HEADLINE), headline.to_dicts())
    if nights is not None:
        _show_nights(nights, run_url)
    say_remarks(summary)
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


def _table_of(run_url: str, name: str) -> pl.DataFrame | None:
    """Read a table of a report; None if the report has none of that name."""
    from seraser_core.errors import RunDirectoryError
    from seraser_core.results.reading import read_report

    try:
        return read_report(run_url, name)
    except RunDirectoryError:
        return None


def _disagreements(summary: pl.DataFrame, run_url: str) -> pl.DataFrame | None:
    """Read the disagreements of an audit's report; None if the report has none."""
    return None if summary["n"].sum() else _table_of(run_url, "disagreements")


def say_remarks(summary: pl.DataFrame) -> None:
    """Say how many groups are left out of the worst group, and which methods have no ECE."""
    from seraser_core.results.tables import no_probabilities_text, small_groups_text

    for name, text_of in (("small_groups", small_groups_text), ("ece", no_probabilities_text)):
        if name in summary.columns and (text := text_of(summary)):
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
