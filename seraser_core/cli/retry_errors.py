"""`seraser retry-errors`: compute failed images again."""

from __future__ import annotations

from typing import Annotated

import typer

from seraser_core.cli.arguments import ExecutionOption, JsonOption, RunArgument
from seraser_core.cli.console import errors, say_next
from seraser_core.cli.execute import watching
from seraser_core.cli.report import show_compared, show_run, stop_at_faults
from seraser_core.cli.several import each_run
from seraser_core.waiting import importing


def retry_errors(
    run: RunArgument,
    code: Annotated[
        list[str] | None,
        typer.Option("--code", help="Only images with this error code; repeat for more."),
    ] = None,
    set_: ExecutionOption = None,
    json: JsonOption = False,
) -> None:
    """Compute the failed images of RUN again, and merge; good rows stay as they are.

    For files that were missing, forbidden or damaged and are fixed now. An image that changed
    since the run was planned needs a new plan: run the configuration again. RUN may be a
    comparison or a series: then the failed images of all its runs are computed again.
    """
    from seraser_core.results.nights import is_series
    from seraser_core.results.summary import aggregate

    with watching() as display:
        with importing("PyTorch", "torch"):
            from seraser_core.runner.retry import Retry
            from seraser_core.runner.retry_run import retry_run
        retry = Retry(tuple(code or ()))
        done = each_run(
            run, lambda url: retry_run(url, retry, display, set_ or [], one_of_many=True)
        )
        images = retry_run(run, retry, display, set_ or []) if done is None else 0
    if done is not None and is_series(run):
        stop_at_faults(run, done, json)
        aggregate(run)
        show_run(run, json)
    elif done is not None:
        show_compared(run, done, json)
        if not json:
            say_next("report", run, "--open")
    elif images or json:
        show_run(run, json)
    else:
        errors.print("no image failed")
        say_next("report", run, "--open")
