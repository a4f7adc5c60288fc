"""`seraser demo`: see a shortcut and its repair, on real runs of the real pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seraser_core.cli.arguments import JsonOption, NoPrefectOption
from seraser_core.cli.console import (
    as_command,
    errors,
    print_json,
    print_table,
    results,
    say_next,
    this_command,
)
from seraser_core.cli.execute import execute_planned, watching
from seraser_core.cli.summary_tables import say_errors
from seraser_core.display import Column, percent

if TYPE_CHECKING:
    import polars as pl

    from seraser_core.shortcuts.findings import Findings

_NAMES = {"demo": "shortcut data set", "control": "control data set"}
_QUERY = """\
Every image has one row per method. In Python:

  import polars as pl
  rows = pl.scan_parquet("{run}/predictions/*.parquet")
  rows.group_by("method", "group").agg(pl.col("correct").mean()).collect()
"""


def demo(
    output: Annotated[
        Path, typer.Option(help="Folder for the pictures (data/, control/) and the runs (runs/).")
    ] = Path("seraser-demo"),
    no_prefect: NoPrefectOption = False,
    json: JsonOption = False,
) -> None:
    """Draw pictures, run the flow on them, and show every method's accuracy per group.

    The model was trained on pictures in which camels mostly stand in the desert and deer in the
    forest, and learned the place instead of the animal. A second data set shows camels and penguins
    where neither lives: the place is no shortcut there, and SEraser can only do harm.
    """
    from seraser_core.config import load_config
    from seraser_core.demo.config import demo_config
    from seraser_core.demo.dataset import CONTROL, SHORTCUT, write_dataset
    from seraser_core.engines.threads import ThreadEngine
    from seraser_core.runner.plan import plan_run

    folder = output.absolute()
    errors.print(f"pictures in {folder / 'data'} and {folder / 'control'}")
    run_urls, command = [], this_command()
    with watching() as display:
        for name, part, task in (("demo", "data", SHORTCUT), ("control", "control", CONTROL)):
            pictures = write_dataset(folder / part, task=task)
            config = demo_config(str(pictures), str(folder / "runs"), name, task)
            display.say(f"{_NAMES[name]}:")
            run_urls.append(plan_run(load_config(config), display.say, command=command))
            display.name(run_urls[-1], _NAMES[name])
        execute_planned(run_urls, no_prefect, display, ThreadEngine())
    shortcut, control = map(_read, run_urls)
    if json:
        print_json({**_document(shortcut), "control": _document(control)})
        return
    _show(shortcut, "shortcut data set: accuracy per group")
    _show(control, "control data set, without a shortcut: accuracy per group")
    if shortcut.findings is not None:
        results.print(shortcut.findings.sentence())
    results.print(f"{_what_happened(shortcut, control)}\n")
    for finished, what in ((shortcut, "shortcut"), (control, "control")):
        results.print(f"{what:<8} run    {finished.url}")
        results.print(f"{'':<8} report {finished.url}/report/report.html")
    results.print(f"\n{_QUERY.format(run=shortcut.url)}")
    errors.print("Look at the report with")
    errors.print(as_command("report", shortcut.url, "--open"))
    errors.print("and try a folder or table of your own.")
    say_next("init", "path/to/pictures")


@dataclass(frozen=True)
class _FinishedRun:
    """A finished run and its reports."""

    url: str
    summary: pl.DataFrame
    groups: list[dict[str, Any]]
    findings: Findings | None

    def figures(self, method: str) -> tuple[str, str]:
        """A method's pooled average and worst group, as text."""
        rows = {row["method"]: row for row in self.summary.to_dicts()}
        row = rows[method]
        return percent(row["accuracy"]), percent(row["worst_group_accuracy"])


def _read(run_url: str) -> _FinishedRun:
    from seraser_core.results.reading import read_report
    from seraser_core.results.shortcuts import read_findings

    groups = read_report(run_url, "groups").to_dicts()
    summary, findings = read_report(run_url, "summary"), read_findings(run_url)
    return _FinishedRun(run_url, summary, groups, findings)


def _document(finished: _FinishedRun) -> dict[str, Any]:
    say_errors(finished.summary, finished.url, json=True)
    found = finished.findings
    return {
        "run": finished.url,
        "summary": finished.summary.to_dicts(),
        "groups": finished.groups,
        "shortcuts": None if found is None else found.document(),
    }


def _show(finished: _FinishedRun, title: str) -> None:
    methods = finished.summary["method"].to_list()
    columns = [Column("group"), Column("images"), *(Column(m, words=m) for m in methods)]
    print_table(title, columns, _beside(finished))
    say_errors(finished.summary, finished.url, json=False)


def _beside(finished: _FinishedRun) -> list[dict[str, Any]]:
    """One row per group with the accuracy of every method, and then the average and the worst."""
    rows: dict[str, dict[str, Any]] = {}
    for one in finished.groups:
        row = rows.setdefault(one["group"], {"group": one["group"], "images": one["n"]})
        row[one["method"]] = percent(one["accuracy"])
    average: dict[str, Any] = {"group": "average (pooled)", "images": finished.summary["n"][0]}
    worst: dict[str, Any] = {"group": "worst group"}
    for method in finished.summary["method"]:
        average[method], worst[method] = finished.figures(method)
    return [*rows.values(), average, worst]


def _what_happened(shortcut: _FinishedRun, control: _FinishedRun) -> str:
    """One sentence on what SEraser did to both data sets."""
    (before, worst_before), (after, worst_after) = map(shortcut.figures, ("zero_shot", "seraser"))
    (plain, _), (changed, _) = map(control.figures, ("zero_shot", "seraser"))
    return (
        f"With the shortcut, seraser takes the pooled average from {before} (zero_shot) to {after} "
        f"and the worst group from {worst_before} to {worst_after}; without one, where it can only "
        f"do harm, the pooled average goes from {plain} to {changed}."
    )
