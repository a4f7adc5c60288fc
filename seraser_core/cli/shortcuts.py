"""`seraser shortcuts`: which surroundings decide which class."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seraser_core.cli.arguments import JsonOption, MarkdownOption, RunArgument
from seraser_core.cli.console import errors, print_json, print_table, results, say_next
from seraser_core.cli.several import each_run, show_each
from seraser_core.display import Column, percent
from seraser_core.errors import RunDirectoryError

if TYPE_CHECKING:
    from seraser_core.shortcuts.findings import Findings, HardPlace, LatentShortcut, Shortcut

_PLACE = ("surroundings", "class")
_SHORTCUTS = (
    *(*_PLACE, "decided", "of", "share"),
    *(Column("low", words="95 %: from"), Column("high", words="to")),
    *("pull", "q", "after erasing", "pasted here", "pasted elsewhere", "labels say"),
)
_LATENT = (*_PLACE, "images", "of other classes", "place alone")
_HARD = (*_PLACE, "images", "recognised here", "elsewhere")
_MOST_WORDS = 3


def shortcuts(
    run: RunArgument,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm",
            help="Paste objects of the run's masks onto these surroundings and onto others, and "
            "keep what the model makes of them for the report.",
        ),
    ] = False,
    json: JsonOption = False,
    markdown: MarkdownOption = False,
) -> None:
    """Show which surroundings decide which class in RUN, how sure that is, and what to do.

    Every report is written with them. RUN may be a series, or a comparison: then it is one line
    per run.
    """
    from seraser_core.results.nights import is_series

    if confirm:
        _confirm(run)
    done = None if is_series(run) else each_run(run, _findings)
    if done is not None:
        columns = ("shortcuts", "found")
        show_each(run, done, "runs", columns, _row_of_run, lambda found: found.document(), json)
        return
    found = _findings(run)
    if json:
        print_json({"run": run, **found.document()})
        return
    results.print(found.sentence())
    if found.shortcuts:
        print_table("shortcuts", _SHORTCUTS, map(_shortcut, found.shortcuts))
    if found.latent:
        print_table(
            "latent: nothing in the data contradicts them", _LATENT, map(_latent, found.latent)
        )
    if found.hard:
        print_table(
            "merely hard: recognised less often, drawn to no class", _HARD, map(_hard, found.hard)
        )
    for line in _advice(found):
        results.print(line)
    for note in found.notes:
        errors.print(f"note: {note}")
    say_next("report", run, "--open")


def _confirm(run: str) -> None:
    """Transplant objects, and write the report again with what came of it."""
    from seraser_core.results.summary import aggregate
    from seraser_core.runner.confirming import confirm_run

    confirm_run(run)
    aggregate(run)


def _findings(run: str) -> Findings:
    """Read the findings of a run or a series; its report is written where it has none."""
    from seraser_core.results.shortcuts import read_findings
    from seraser_core.results.summary import aggregate

    found = read_findings(run)
    if found is None:
        aggregate(run)
        found = read_findings(run)
    if found is None:
        raise RunDirectoryError(f"{run}/report has no findings", "write it: seraser report")
    return found


def _row_of_run(found: Findings) -> dict[str, Any]:
    return {"shortcuts": len(found.shortcuts), "found": found.sentence()}


def _names(one: Shortcut | LatentShortcut | HardPlace) -> dict[str, str]:
    words = ", ".join(one.words[:_MOST_WORDS]) or "(unnamed)"
    return {"surroundings": words, "class": one.class_name}


def _shortcut(one: Shortcut) -> dict[str, Any]:
    moved = one.transplant
    return _names(one) | {
        "decided": one.decided.hits,
        "of": one.decided.n,
        "share": percent(one.decided.value),
        "low": percent(one.decided.low),
        "high": percent(one.decided.high),
        "pull": one.pull,
        "q": one.q,
        "after erasing": None if one.cure is None else f"-{one.cure:.2f}",
        "pasted here": None if moved is None else percent(moved.here.value),
        "pasted elsewhere": None if moved is None else percent(moved.elsewhere.value),
        "labels say": None if one.labels is None else one.labels.verdict,
    }


def _latent(one: LatentShortcut) -> dict[str, Any]:
    return _names(one) | {
        "images": one.images,
        "of other classes": one.conflicts,
        "place alone": percent(one.voice),
    }


def _hard(one: HardPlace) -> dict[str, Any]:
    return _names(one) | {
        "images": one.images,
        "recognised here": percent(one.labels.tpr_inside.value),
        "elsewhere": percent(one.labels.tpr_outside.value),
    }


def _advice(found: Findings) -> Iterator[str]:
    """Yield what to do against the shortcuts, as entries of the option `methods`."""
    for remedy in found.remedies:
        yield f"\n{remedy.method}: {remedy.reason} In the configuration, under methods:\n"
        yield textwrap.indent(remedy.config.rstrip("\n"), "  ")
