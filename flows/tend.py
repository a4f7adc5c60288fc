"""The flow that finishes runs which others have begun and left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.reasons import reasons
from flows.seraser import planned
from seraser_core import storage
from seraser_core.errors import DeviceLostError, SeraserError
from seraser_core.results.idle import (
    MOST_TRIES,
    forget_tries,
    run_directories,
    series_to_report,
    unfinished,
)


@flow(name="seraser-tend", validate_parameters=True)
def tend(output: str, idle_minutes: Annotated[float, Field(ge=0)] = 60) -> list[str]:
    """Finish the runs of a folder that are not finished and on which nobody works.

    It reads their files and no states of Prefect, so it sees runs whose machine or server is gone,
    too. A mistake costs nothing but time: a shard that two compute is committed once. A run that
    was taken up three times without a new commit is left alone, and named, until somebody commits
    one of its shards. Of a series whose runs are finished, the report is written.

    Args:
        output: Folder of runs, a path or a URL.
        idle_minutes: How long nothing must have been planned, begun, failed or committed; more than
            a shard takes.

    Returns:
        One line about every run or series that was not finished.

    Raises:
        SeraserError: Runs failed; all others are finished.
    """
    folder, logger = storage.absolute(output, Path.cwd()), get_run_logger()
    lines, failed = [], []
    with reasons():
        for url, finish in _to_finish(folder, idle_minutes):
            try:
                line = finish(url)
            except DeviceLostError:  # this process can compute nothing more
                raise
            except SeraserError as error:
                line = f"failed: {url}: {error}"
                failed.append(line)
            if line is not None:
                logger.info(line)
                lines.append(line)
        if lines:
            create_markdown_artifact(
                key="seraser-tended", markdown="\n".join(f"- {line}" for line in lines)
            )
        if failed:
            raise SeraserError("\n".join(failed))
    return lines


def _to_finish(
    folder: str, idle_minutes: float
) -> Iterator[tuple[str, Callable[[str], str | None]]]:
    """Yield what is to be looked at, and by what: the runs of a folder, then its series."""
    for url in run_directories(folder):
        yield url, partial(_tended, idle_minutes=idle_minutes)
    for url in series_to_report(folder):  # as they are once their runs are tended
        yield url, _reported


def _tended(url: str, idle_minutes: float) -> str | None:
    """Finish a run if nobody else does, and return what was done; None of a finished one.

    Raises:
        SeraserError: It failed, or cannot be read.
    """
    run = unfinished(url)
    if run is None:
        return None
    if run.is_given_up:
        return (
            f"left alone: {run}: {MOST_TRIES} tries made no new commit; `seraser status` says what "
            "failed, and its configuration run again computes it"
        )
    if run.idle_minutes < idle_minutes:
        return f"under way: {run}: last sign of work {run.idle_minutes:.0f} minutes ago"
    run.take_up()
    planned(url)
    forget_tries(run.directory)
    return f"finished: {run} before"


def _reported(series_url: str) -> str:
    """Write the report of a series."""
    planned(series_url)
    return f"finished: the report of {series_url}"
