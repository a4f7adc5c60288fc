"""`seraser compare`: several runs, and one table of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from seraser_core.cli.arguments import JsonOption, MarkdownOption, NoPrefectOption, SetOption
from seraser_core.cli.console import print_json, print_table, results, say_next, this_command
from seraser_core.cli.execute import execute_planned, watching
from seraser_core.cli.summary_tables import say_warnings

if TYPE_CHECKING:
    import polars as pl

    from seraser_core.cli.progress import RunDisplay
    from seraser_core.config import Comparison


def compare(
    configs: Annotated[
        list[str],
        typer.Argument(metavar="CONFIG", help="YAML files, paths or URLs.", show_default=False),
    ],
    set_: SetOption = None,
    no_prefect: NoPrefectOption = False,
    json: JsonOption = False,
    markdown: MarkdownOption = False,
) -> None:
    """Run every CONFIG to its end, and compare their methods in one table.

    A CONFIG may hold a grid of data sets and models. All runs are planned before the first one
    computes; the same command again computes only what is missing.
    """
    from seraser_core.config import load_comparison
    from seraser_core.results.comparison import write_comparison

    comparison = load_comparison(configs, set_ or [])
    with watching() as display:
        url = _run(comparison, no_prefect, display)
    tables = write_comparison(url)
    show_comparison(tables, url, json)
    if not json:
        say_next("report", url, "--open")


def _run(comparison: Comparison, no_prefect: bool, display: RunDisplay) -> str:
    """Plan all runs, compute what is missing, and return the URL of the comparison's folder."""
    from seraser_core.engines import open_engine
    from seraser_core.runner.comparing import plan_comparison
    from seraser_core.runner.observers import with_textfile

    first = comparison.cells[0].config
    textfile = with_textfile(display, first.execution.textfile)
    with textfile as observer, open_engine(first) as engine:
        url, runs = plan_comparison(comparison, display.say, engine, this_command())
        for run in runs:
            display.name(run.url, f"{run.dataset}, {run.model}")
        execute_planned([run.url for run in runs], no_prefect, observer, engine)
    for run in runs:
        say_warnings(run.url, f"{run.dataset}, {run.model}: ")
    return url


def show_comparison(tables: Mapping[str, pl.DataFrame], url: str, json: bool) -> None:
    """Print the table, the mean ranks where there are labels, headlines and published figures.

    Args:
        tables: As `write_comparison` returns them.
        url: The comparison's folder.
        json: Whether to print them as JSON.
    """
    table, ranks = tables["comparison"], tables["ranks"]
    headlines, published = tables["headlines"], tables["published"]
    if json:
        document = {
            "rows": table,
            "ranks": ranks,
            "headlines": headlines,
            "published": published,
        }
        found = {name: one.to_dicts() for name, one in document.items()}
        print_json({"comparison": url, **found})
        return
    from seraser_core.results.columns import (
        HEADLINES,
        METHODS,
        Shown,
        mean_rank_columns,
        shown_in,
    )
    from seraser_core.results.comparison import left_out
    from seraser_core.results.published import PUBLISHED
    from seraser_core.results.tables import no_probabilities_text

    needless = {name for name in ("dataset", "model") if table[name].n_unique() == 1}
    if not table["errors"].sum():
        needless.add("errors")
    columns = [c for c in shown_in(Shown.COMPARE, METHODS) if c.name not in needless]
    print_table("comparison", columns, table.to_dicts())
    if ranks["pairs"].sum():
        print_table("mean ranks", mean_rank_columns(), ranks.to_dicts())
    for title, columns_of, one in (
        ("headlines", HEADLINES, headlines),
        ("published figures", PUBLISHED, published),
    ):
        if one.height:
            shown = [column for column in columns_of if column.name not in needless]
            print_table(title, shown, one.to_dicts())
    for remark in (left_out(table), no_probabilities_text(table)):
        if remark:
            results.print(remark)
    results.print(f"comparison {url}")
    results.print(f"report     {url}/report/comparison.html")
