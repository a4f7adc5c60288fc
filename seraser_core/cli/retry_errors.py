"""`seraser retry-errors`: compute failed images again."""

from __future__ import annotations

from typing import Annotated

import typer

from seraser_core.cli.arguments import JsonOption, RunArgument
from seraser_core.cli.console import count, results
from seraser_core.cli.execute import watching
from seraser_core.cli.inspect import show_run


def retry_errors(
    run: RunArgument,
    code: Annotated[
        list[str] | None,
        typer.Option("--code", help="Only images with this error code; repeat for more."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compute the failed images of RUN again, and merge; good rows stay as they are.

    For files that were missing, forbidden or damaged and are mended now. An image that changed
    since the run was planned needs a new plan: run the configuration again.
    """
    from seraser_core.results.summary import aggregate
    from seraser_core.runner.local import run_local
    from seraser_core.runner.retry import Retry

    retry = Retry(tuple(code or ()))
    shards = retry.shards(run)
    if not shards:
        aggregate(run)  # an interrupted command may have left the report behind
        results.print("no image failed")
        return
    with watching() as display:
        total = sum(shards.values())
        display.say(f"{count(total, 'image')} in {count(len(shards), 'shard')} to compute again")
        display.planned(run, 0, total)
        run_local(run, display, shards=list(shards), committed=display.committed, compute=retry)
        aggregate(run)
    show_run(run, json)
