"""`seraser datasets` and `seraser check`: benchmark data sets, and whether one is complete."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from seraser_core.cli.arguments import JsonOption, MarkdownOption
from seraser_core.cli.console import errors, print_json, print_table, results, say_next
from seraser_core.display import count

_IN_LIST = ("layout", "source", "licence")
_FACTS = ("name", "what", "layout", "source", "licence", "trap")
_MOST_COUNTS = 40
"""Most lines of counts; beyond, only sums and faults are shown."""


def benchmark_names(incomplete: str) -> list[str]:
    """Return the names of data sets that begin so."""
    from seraser_core.sources.benchmarks.registry import BENCHMARKS

    return [name for name in BENCHMARKS if name.startswith(incomplete)]


def datasets(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATASET]",
            help="Show this one.",
            show_default=False,
            autocompletion=benchmark_names,
        ),
    ] = None,
    json: JsonOption = False,
    markdown: MarkdownOption = False,
) -> None:
    """List the benchmark data sets, with their layouts, sources and licences."""
    from seraser_core.sources.benchmarks.registry import BENCHMARKS, find_benchmark

    shown = [find_benchmark(name)] if name else list(BENCHMARKS.values())
    facts = [
        {fact: getattr(one, fact) for fact in _FACTS}
        | {"splits": list(one.splits), "template": one.template}
        for one in shown
    ]
    if json:
        print_json(facts)
        return
    if markdown:
        print_table("data sets", ("name", "what", *_IN_LIST), facts)
        return
    for one in facts:
        results.print(one.pop("name"), style="bold", end=": ")
        results.print(one.pop("what"))
        for fact, value in one.items():
            text = ", ".join(value) if isinstance(value, list) else value
            if text and (name or fact in _IN_LIST):
                results.print(f"  {fact:<9} {text}")
    say_next(*(("check", name, f"data/{name}") if name else ("datasets", "waterbirds")))


def check(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", show_default=False, autocompletion=benchmark_names)
    ],
    root: Annotated[
        str,
        typer.Argument(metavar="ROOT", help="Its root, a path or a URL.", show_default=False),
    ],
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    metadata: Annotated[
        str | None, typer.Option(help="Table in ROOT that replaces the published one.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Do not open the images.")] = False,
    json: JsonOption = False,
) -> None:
    """Compare ROOT with what was published of DATASET: counts, classes, files, labels.

    Exit code 1 when something is wrong.
    """
    from seraser_core.config.named_files import absolute
    from seraser_core.sources.benchmarks.audit import audit

    with _progress() as bar:
        task = bar.add_task("images opened", total=None, visible=not quick)
        report = audit(
            dataset,
            absolute("ROOT", root, Path.cwd()),
            split,
            quick,
            lambda done, total: bar.update(task, completed=done, total=total),
            metadata,
        )
    if json:
        print_json(dataclasses.asdict(report))
    else:
        rows = [dataclasses.asdict(one) for one in report.counts]
        if len(rows) > _MOST_COUNTS:
            rows = [row for row in rows if row["kind"] == "all" or _is_wrong(row)]
        if rows:
            print_table("images", ("split", "kind", "name", "images", "published"), rows)
        for note in report.notes:
            results.print(f"note: {note}")
        for problem in report.problems:
            results.print(problem)
        problems = len(report.problems)
        results.print(
            f"{count(problems, 'problem') if problems else 'clean'}: {report.dataset} in "
            f"{report.root}",
        )
    if report.problems:
        raise typer.Exit(1)
    if not json:
        say_next("init", root, "--benchmark", dataset)


def _is_wrong(row: dict[str, Any]) -> bool:
    if row["published"] is not None:
        return bool(row["images"] != row["published"])
    return row["kind"] == "class" and not row["images"]


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        console=errors,
        transient=True,
    )
