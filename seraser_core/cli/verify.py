"""`seraser verify`: whether a run directory holds what it should."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seraser_core.cli.arguments import JsonOption, RunArgument
from seraser_core.cli.console import print_json, results, say_next
from seraser_core.cli.several import Done, each_run, show_each
from seraser_core.display import count

if TYPE_CHECKING:
    from seraser_core.results.problems import VerifyReport


def verify(
    run: RunArgument,
    deep: Annotated[
        bool, typer.Option("--deep", help="Load and hash the model's weights as well.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Re-read everything in RUN, hash it and compare it; exit code 1 when it disagrees.

    Sums and report are made again from the rows. `seraser repair` fixes the problems. RUN may be a
    comparison or a series: then all its runs are verified, and the nights and report of a series.
    """
    from seraser_core.results.verify_series import verify_series

    done = each_run(run, lambda url: _verified(url, deep), verify_series)
    if done is None:
        show_problems(_verified(run, deep), json)
    else:
        show_all_problems(run, done, json)


def _verified(run: str, deep: bool) -> VerifyReport:
    if deep:
        from seraser_core.runner.verify_weights import verify_deep

        return verify_deep(run)
    from seraser_core.results.verify import verify as read_again

    return read_again(run)


def show_problems(report: VerifyReport, json: bool) -> None:
    """Print what `verify` found.

    Raises:
        typer.Exit: There are problems.
    """
    if json:
        print_json(dataclasses.asdict(report))
    else:
        for line in (*report.problems, *(f"not checked: {text}" for text in report.unchecked)):
            results.print(str(line))
        problem_count = len(report.problems)
        results.print(
            f"{count(problem_count, 'problem') if problem_count else 'clean'}: {report.done} of "
            f"{count(report.shards, 'shard')} done, {count(report.rows, 'row')}",
        )
    if not json:
        say_next("repair" if report.problems else "report", report.run)
    if report.problems:
        raise typer.Exit(1)


def show_all_problems(url: str, done: Sequence[Done[VerifyReport]], json: bool) -> None:
    """Print what `verify` found in the runs of a comparison or a series.

    Raises:
        typer.Exit: There are problems.
    """
    if not json:
        for one in done:
            for line in (*one.result.problems, *one.result.unchecked) if one.result else ():
                results.print(f"{one.url}: {line}")

    def row(report: VerifyReport) -> dict[str, Any]:
        problem_count = len(report.problems)
        return {
            "found": count(problem_count, "problem") if problem_count else "clean",
            "shards": f"{report.done:,} of {report.shards:,}",
            "rows": report.rows,
        }

    show_each(url, done, "runs", ("found", "shards", "rows"), row, dataclasses.asdict, json)
    wrong = any(one.result.problems for one in done if one.result is not None)
    if not json:
        say_next("repair" if wrong else "report", url)
    if wrong:
        raise typer.Exit(1)
