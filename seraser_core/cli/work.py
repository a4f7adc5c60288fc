"""`seraser work`: one part of a run, for whatever starts processes by itself."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Annotated

import typer

from seraser_core.cli.arguments import ExecutionOption, RunArgument
from seraser_core.cli.console import say_next
from seraser_core.cli.execute import watching
from seraser_core.display import count
from seraser_core.errors import ConfigError

_OTHERS = (
    "others have begun what is left, less than ten minutes ago; if they are gone, start any part "
    "again after that"
)


def work(
    run: RunArgument,
    part: Annotated[
        str,
        typer.Option(metavar="I/N|auto", help="Which part, from 0; auto: as Slurm or a Job says."),
    ] = "0/1",
    parts: Annotated[
        int | None,
        typer.Option(min=1, help="Number of parts of an Indexed Job, with --part auto."),
    ] = None,
    set_: ExecutionOption = None,
) -> None:
    """Compute one part of RUN, help with the rest, and as the last one write the report.

    For arrays of Slurm, Indexed Jobs of Kubernetes and the like: start as many as you want, on any
    machines that reach RUN; none needs to know of another, and each may be killed and started
    again.
    """
    from seraser_core import storage
    from seraser_core.engines import open_engine
    from seraser_core.engines.planned import config_here
    from seraser_core.results.nights import name_one, read_nights
    from seraser_core.results.shards import RunDirectory
    from seraser_core.runner.observers import with_textfile
    from seraser_core.runner.part import Part, work

    mine = Part.parse(part, os.environ, parts)
    directory = RunDirectory(run)
    if not storage.exists(directory.path("run.json")):
        if nights := read_nights(run):
            raise ConfigError("RUN", run, name_one(nights))
        raise ConfigError("RUN", run, "has no run.json; plan it first, `seraser plan` prints it")
    config = config_here(run, set_ or [])
    total = sum(map(len, directory.shards()))
    with ExitStack() as stack:
        display = stack.enter_context(watching())
        observer = stack.enter_context(with_textfile(display, config.execution.textfile))
        engine = stack.enter_context(open_engine(config))
        display.say(f"part {mine} of {count(len(directory.shards()), 'shard')}")
        finished = work(
            run,
            mine,
            engine,
            observer,
            observer.committed,
            lambda missing: observer.planned(run, total - sum(map(len, missing)), total),
        )
        display.say("the run is finished" if finished else _OTHERS)
    say_next(*(("report", run) if finished else ("status", run, "--watch", "60")))
