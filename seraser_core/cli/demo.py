"""`seraser demo`: see a shortcut and its repair, on a real run of the real pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from seraser_core.cli.arguments import JsonOption, NoPrefectOption
from seraser_core.cli.console import errors, print_json, print_table, results
from seraser_core.cli.execute import execute
from seraser_core.cli.inspect import say_errors

_QUERY = """\
Every image has one row per method. In Python:

  import polars as pl
  rows = pl.scan_parquet("{run}/predictions/*.parquet")
  rows.group_by("method", "group").agg(pl.col("correct").mean()).collect()
"""


def demo(
    output: Annotated[
        Path, typer.Option(help="Folder for the pictures (data/) and the run (runs/).")
    ] = Path("seraser-demo"),
    no_prefect: NoPrefectOption = False,
    json: JsonOption = False,
) -> None:
    """Draw pictures, run the flow on them, and show zero-shot beside SEraser per group.

    The model was trained on pictures in which camels mostly stand in the desert and deer in the
    forest, and learned the place instead of the animal.
    """
    from seraser_core.demo.config import demo_config
    from seraser_core.demo.dataset import write_dataset
    from seraser_core.results.reading import read_report

    folder = output.absolute()
    errors.print(f"pictures in {folder / 'data'}", highlight=False)
    pictures = write_dataset(folder / "data")
    run_url = execute(demo_config(str(pictures), str(folder / "runs")), [], no_prefect)
    table = read_report(run_url, "summary")
    summary = {row["method"]: row for row in table.to_dicts()}
    groups = read_report(run_url, "groups").to_dicts()
    if json:
        say_errors(table, run_url, json)
        print_json({"run": run_url, "summary": list(summary.values()), "groups": groups})
        return
    print_table("accuracy per group", ("group", "images", "zero_shot", "SEraser"), _beside(groups))
    for label, column in (("average", "accuracy"), ("worst group", "worst_group_accuracy")):
        before, after = (summary[method][column] for method in ("zero_shot", "seraser"))
        results.print(f"{label:<12} zero-shot {before:.3f}   SEraser {after:.3f}", highlight=False)
    say_errors(table, run_url, json)
    results.print(f"\nrun    {run_url}\nreport {run_url}/report/report.html\n", highlight=False)
    results.print(_QUERY.format(run=run_url), markup=False, highlight=False)


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
