"""`seraser status`: how far a run is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from seraser_core.cli.arguments import JsonOption, MarkdownOption, RunArgument
from seraser_core.cli.console import print_json, print_table, results, say_next
from seraser_core.cli.several import each_run, show_each
from seraser_core.cli.status_lines import (
    STATUS_COLUMNS,
    WORKER_COLUMNS,
    status_lines,
    status_row,
    worker_rows,
    workers_title,
)


def status(
    run: RunArgument,
    watch: Annotated[
        float | None,
        typer.Option(min=1, metavar="SECONDS", help="Look again and again, until it is finished."),
    ] = None,
    json: JsonOption = False,
    markdown: MarkdownOption = False,
) -> None:
    """Show how far RUN is, who computes it, what failed and how fast it was.

    RUN may be a comparison or a series: then it is one line per run, and of a series also what
    there is to tell of the whole. Exit code 1 when shards failed in their last attempt.
    """
    from seraser_core.results.nights import is_series
    from seraser_core.results.status import status as read_status

    if watch is not None:
        from seraser_core.cli.watch import watch_run

        facts = watch_run(run, watch, json)
        if facts["finished"] and not json:  # else a person has ended it
            _say_next_of(run, [(run, facts)])
        if facts["failures"]:
            raise typer.Exit(1)
        return
    done = each_run(run, read_status)
    if done is not None:
        whole = read_status(run) if is_series(run) and not any(one.fault for one in done) else {}
        more = {"result": whole} if whole else None
        show_each(run, done, "runs", STATUS_COLUMNS, status_row, dict, json, more)
        if whole and not json:
            for line in status_lines(whole):
                results.print(line)
        failed = any(one.result["failures"] for one in done if one.result is not None)
        of_each = [(one.url, one.result) for one in done if one.result is not None]
    else:
        facts = read_status(run)
        failed = bool(facts["failures"])
        of_each = [(run, facts)]
        if json:
            print_json(facts)
        else:
            if markdown:
                row = {"run": facts["run_id"], **status_row(facts)}
                print_table("run", ("run", *STATUS_COLUMNS), [row])
            else:
                for line in status_lines(facts):
                    results.print(line)
            if rows := worker_rows(facts, time.time()):
                print_table(workers_title(facts), WORKER_COLUMNS, rows)
    if not json:
        _say_next_of(run, of_each)
    if failed:
        raise typer.Exit(1)


def _say_next_of(run: str, of_each: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Print what comes next: to watch or compute the first run that needs it, or the report."""
    for url, facts in of_each:
        if facts.get("remaining_s"):
            return say_next("status", url, "--watch", "10")
        if not facts["finished"]:
            return say_next("work", url)
    return say_next("report", run, "--open")
