"""Applying a command to every run of a comparison."""

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
        dataset: Name of its data set in the comparison.
        model: Name of its model there.
        url: URL of its run directory.
        result: Return value of the function; None if it failed.
        fault: Reason why it failed.
    """

    dataset: str
    model: str
    url: str
    result: T | None
    fault: str | None


def each_run(url: str, do: Callable[[str], T]) -> list[Done[T]] | None:
    """Apply a function to every run of the comparison at `url`; None without a comparison.

    A run that fails does not keep the others from being looked at.
    """
    from seraser_core.results.comparison import compared_runs, is_comparison

    if not is_comparison(url):
        return None
    done = []
    for run in compared_runs(url):
        result, fault = None, None
        try:
            result = do(run.url)
        except SeraserError as error:
            fault = str(error)
        done.append(Done(run.dataset, run.model, run.url, result, fault))
    return done


def show_each(
    url: str,
    done: Sequence[Done[T]],
    what: str,
    columns: Sequence[str],
    row: Callable[[T], Mapping[str, Any]],
    document: Callable[[T], Any] | None,
    json: bool,
) -> None:
    """Print one table of all runs, or one JSON document, and name those that failed.

    Args:
        url: URL of the comparison.
        done: Outcomes of its runs.
        what: Title of the table.
        columns: Columns of the table beside the run, its data set and model.
        row: A result's cells.
        document: A result for scripts; nothing is printed for them when None.
        json: Whether this is for scripts.

    Raises:
        typer.Exit: Runs failed.
    """
    named = [
        {"run_id": o.url.rsplit("/", 1)[-1], "dataset": o.dataset, "model": o.model} for o in done
    ]
    if json and document is not None:
        runs = [
            {"run": one.url, "dataset": one.dataset, "model": one.model}
            | ({"fault": one.fault} if one.result is None else {"result": document(one.result)})
            for one in done
        ]
        print_json({"comparison": url, "runs": runs})
    elif not json:
        rows = [
            name | ({} if one.result is None else dict(row(one.result)))
            for name, one in zip(named, done, strict=True)
        ]
        print_table(what, ("run_id", "dataset", "model", *columns), rows)
    for one in done:
        if one.fault is not None:
            errors.print(f"failed {one.url}: {one.fault}")
    if any(one.fault is not None for one in done):
        raise typer.Exit(1)
