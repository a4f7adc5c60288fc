"""`seraser runs`: which run is which."""

from __future__ import annotations

import json as jsons
from typing import Annotated, Any

import typer

from seraser_core.cli.arguments import JsonOption, MarkdownOption, absolute_location
from seraser_core.cli.console import errors, print_json, print_table, results, say_next
from seraser_core.display import Column, count

_RUN = ("run", "data set", "model", "methods", "differs", "state")
_SERIES = ("series", "nights", "newest", "images", "data set", "model", "methods")
_COMPARISON = ("comparison", "runs", "data set", "model")
_LONGEST = 60


def runs(
    output: Annotated[
        str,
        typer.Argument(
            metavar="[OUTPUT]",
            help="Folder of runs, a path or a URL.",
            callback=absolute_location,
        ),
    ] = "runs",
    json: JsonOption = False,
    markdown: MarkdownOption = False,
) -> None:
    """List the runs, series and comparisons in OUTPUT, how they differ, and how far they are.

    The figures are those of the method with the best worst group, or the best average.
    """
    from seraser_core.results.columns import METHODS, Shown, shown_in
    from seraser_core.results.overview import overview

    listing = overview(output)
    if json:
        print_json(listing)
        return
    best: list[Column | str] = ["best method", *shown_in(Shown.RUNS, METHODS)]
    if listing["runs"]:
        print_table(f"runs in {output}", [*_RUN, *best], map(_run_row, listing["runs"]))
    if listing["series"]:
        print_table("series", [*_SERIES, *best], map(_series_row, listing["series"]))
    if listing["comparisons"]:
        rows = map(_comparison_row, listing["comparisons"])
        print_table("comparisons", [*_COMPARISON, *best], rows)
    for one in listing["unreadable"]:
        results.print(f"unreadable {one['run']}: {one['why']}")
    if not any(listing[kind] for kind in ("runs", "series", "comparisons", "unreadable")):
        from seraser_core import storage

        there = "" if storage.exists(output) else ": there is no such folder"
        errors.print(f"no runs in {output}{there}")
    finished = [run["run"] for run in listing["runs"] if run["headline"]]
    others = [run["run"] for run in listing["runs"] if not run["headline"]]
    if finished:
        say_next("report", finished[-1], "--open")
    else:
        say_next(*(("status", others[-1]) if others else ("demo",)))


def _run_row(run: dict[str, Any]) -> dict[str, Any]:
    return {
        "run": run["run_id"],
        "data set": run["dataset"],
        "model": run["model"],
        "methods": ", ".join(run["methods"]),
        "differs": ", ".join(f"{name}={_short(value)}" for name, value in run["differs"].items())
        or None,
        "state": _state(run),
        **_figures(run["headline"]),
    }


def _series_row(series: dict[str, Any]) -> dict[str, Any]:
    return {
        "series": series["series"].rsplit("/", 1)[-1],
        "nights": series["nights"],
        "newest": series["planned"],
        "images": series["images"],
        "data set": series["dataset"],
        "model": series["model"],
        "methods": ", ".join(series["methods"]),
        **_figures(series["headline"]),
    }


def _comparison_row(comparison: dict[str, Any]) -> dict[str, Any]:
    headline = comparison["headline"] or {}
    return {
        "comparison": comparison["comparison"].rsplit("/", 1)[-1],
        "runs": len(comparison["runs"]),
        "data set": headline.get("dataset"),
        "model": headline.get("model"),
        **_figures(comparison["headline"]),
    }


def _figures(headline: dict[str, Any] | None) -> dict[str, Any]:
    from seraser_core.results.columns import METHODS, Shown, shown_in

    if headline is None:
        return {}
    audit = headline["accuracy"] is None
    figures = {column.name: headline.get(column.name) for column in shown_in(Shown.RUNS, METHODS)}
    return figures | (
        {"best method": None} if audit else {"best method": headline["method"], "changed": None}
    )


def _state(run: dict[str, Any]) -> str:
    shards, unusable = run["shards"], (run["headline"] or {}).get("errors")
    parts = [f"{shards['done']:,} of {count(shards['total'], 'shard')}"]
    if shards["done"] == shards["total"]:
        parts = ["finished" if run["headline"] else "computed, without a report"]
    if shards["failed"]:
        parts.append(f"{shards['failed']:,} failed")
    if unusable:
        parts.append(f"{count(unusable, 'image')} unusable")
    return ", ".join(parts)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else jsons.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
