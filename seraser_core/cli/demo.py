"""`seraser demo`: see a shortcut and its repair, on real runs of the real pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seraser_core.cli.arguments import JsonOption, NoPrefectOption
from seraser_core.cli.console import errors, print_json, print_table, results
from seraser_core.cli.execute import execute_planned, watching
from seraser_core.cli.inspect import say_errors

if TYPE_CHECKING:
    import polars as pl

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
    """Draw pictures, run the flow on them, and show zero-shot beside SEraser per group.

    The model was trained on pictures in which camels mostly stand in the desert and deer in the
    forest, and learned the place instead of the animal. A second data set shows camels and penguins
    where neither lives: the place is no shortcut there, and SEraser can only do harm.
    """
    from seraser_core.config import load_config
    from seraser_core.demo.config import demo_config
    from seraser_core.demo.dataset import CONTROL, SHORTCUT, write_dataset
    from seraser_core.runner.plan import plan_run

    folder = output.absolute()
    errors.print(f"pictures in {folder / 'data'} and {folder / 'control'}")
    run_urls = []
    with watching() as display:
        for name, part, task in (("demo", "data", SHORTCUT), ("control", "control", CONTROL)):
            pictures = write_dataset(folder / part, task=task)
            config = demo_config(str(pictures), str(folder / "runs"), name, task)
            run_urls.append(plan_run(load_config(config), display.say))
        execute_planned(run_urls, no_prefect, display)
    shortcut, control = map(_read, run_urls)
    if json:
        print_json({**_document(shortcut), "control": _document(control)})
        return
    _show(shortcut, "accuracy per group, with a shortcut")
    _show(control, "accuracy per group, without one")
    results.print(f"\nrun    {shortcut.url}\nreport {shortcut.url}/report/report.html\n")
    results.print(_QUERY.format(run=shortcut.url))


@dataclass(frozen=True)
class _Found:
    """A finished run and its reports."""

    url: str
    summary: pl.DataFrame
    groups: list[dict[str, Any]]


def _read(run_url: str) -> _Found:
    from seraser_core.results.reading import read_report

    groups = read_report(run_url, "groups").to_dicts()
    return _Found(run_url, read_report(run_url, "summary"), groups)


def _document(found: _Found) -> dict[str, Any]:
    say_errors(found.summary, found.url, json=True)
    return {"run": found.url, "summary": found.summary.to_dicts(), "groups": found.groups}


def _show(found: _Found, title: str) -> None:
    print_table(title, ("group", "images", "zero_shot", "SEraser"), _beside(found.groups))
    summary = {row["method"]: row for row in found.summary.to_dicts()}
    for label, column in (("average", "accuracy"), ("worst group", "worst_group_accuracy")):
        before, after = (summary[method][column] for method in ("zero_shot", "seraser"))
        results.print(f"{label:<12} zero-shot {before:.3f}   SEraser {after:.3f}")
    say_errors(found.summary, found.url, json=False)


def _beside(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "group": row["group"],
            "images": row["n"],
            "zero_shot": row["zero_shot_accuracy"],
            "SEraser": row["accuracy"],
        }
        for row in groups
        if row["method"] == "seraser"
    ]
