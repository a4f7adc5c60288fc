"""Applying a command to every run of a comparison or a series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import typer

from seraser_core.cli.console import errors, print_json, print_table
from seraser_core.errors import SeraserError

T = TypeVar("T")


@dataclass(frozen=True)
class Done(Generic[T]):
    """Outcome of a command for one run.

    Attributes:
        names: What tells the run from the others: its data set and model in a comparison, its
            night in a series.
        url: URL of its run directory.
        result: Return value of the function; None if it failed.
        fault: Reason why it failed.
    """

    names: Mapping[str, str | int]
    url: str
    result: T | None
    fault: str | None


def each_run(
    url: str, do: Callable[[str], T], whole: Callable[[str], T] | None = None
) -> list[Done[T]] | None:
    """Apply a function to every run of the comparison or series at `url`; None without one.

    A run that fails does not keep the others from being looked at.

    Args:
        url: The comparison or series.
        do: The function.
        whole: What is done with the series itself afterwards.
    """
    from seraser_core.results.members import named_runs

    named = named_runs(url)
    if named is None:
        return None
    if whole is not None and "night" in named[0][1]:
        named.append((url, {"night": "all"}))
    done = []
    for run_url, names in named:
        result, fault = None, None
        try:
            result = whole(url) if whole and run_url == url else do(run_url)
        except SeraserError as error:
            fault = str(error)
        done.append(Done(names, run_url, result, fault))
    return done


def show_each(
    url: str,
    done: Sequence[Done[T]],
    what: str,
    columns: Sequence[str],
    row: Callable[[T], Mapping[str, Any]],
    document: Callable[[T], Any] | None,
    json: bool,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Print one table of all runs, or one JSON document, and name those that failed.

    Args:
        url: URL of the comparison or series.
        done: Outcomes of its runs.
        what: Title of the table.
        columns: Columns of the table beside the run and its names.
        row: A result's cells.
        document: A result for scripts; nothing is printed for them when None.
        json: Whether this is for scripts.
        more: What is beside the runs in the JSON document.

    Raises:
        typer.Exit: Runs failed.
    """
    names = list(done[0].names)
    if json and document is not None:
        runs = [
            {"run": one.url, **one.names}
            | ({"fault": one.fault} if one.result is None else {"result": document(one.result)})
            for one in done
        ]
        kind = "series" if "night" in names else "comparison"
        print_json({kind: url, "runs": runs, **(more or {})})
    elif not json:
        rows = [
            {"run_id": one.url.rsplit("/", 1)[-1], **one.names}
            | ({} if one.result is None else dict(row(one.result)))
            for one in done
        ]
        print_table(what, ("run_id", *names, *columns), rows)
    for one in done:
        if one.fault is not None:
            errors.print(f"failed {one.url}: {one.fault}")
    if any(one.fault is not None for one in done):
        raise typer.Exit(1)
