"""`seraser retry-errors`: compute failed images again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from seraser_core.cli.arguments import ExecutionOption, JsonOption, RunArgument
from seraser_core.cli.console import count, results
from seraser_core.cli.execute import watching
from seraser_core.cli.inspect import show_compared, show_run, stop_at_faults
from seraser_core.cli.several import each_run
from seraser_core.waiting import waiting

if TYPE_CHECKING:
    from seraser_core.cli.progress import RunDisplay
    from seraser_core.runner.retry import Retry


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
        with waiting("importing PyTorch"):
            from seraser_core.runner.retry import Retry
        retry = Retry(tuple(code or ()))
        set_ = set_ or []
        done = each_run(run, lambda url: _retried(url, set_, retry, display, one_of_many=True))
        images = _retried(run, set_, retry, display) if done is None else 0
    if done is not None and is_series(run):
        stop_at_faults(run, done, json)
        aggregate(run)
        show_run(run, json)
    elif done is not None:
        show_compared(run, done, json)
    elif images or json:
        show_run(run, json)
    else:
        results.print("no image failed")


def _retried(
    run: str,
    overrides: list[str],
    retry: Retry,
    display: RunDisplay,
    one_of_many: bool = False,
) -> int:
    """Compute the failed images of a run again, merge, and return how many they were."""
    from seraser_core.engines import open_engine
    from seraser_core.engines.planned import config_here
    from seraser_core.results.summary import aggregate
    from seraser_core.runner.missing_shards import run_local

    config = config_here(run, overrides)
    with waiting("looking for failed images"):
        shards = retry.shards(run, one_of_many)
    total = sum(shards.values())
    if shards:
        display.say(f"{count(total, 'image')} in {count(len(shards), 'shard')} to compute again")
        display.planned(run, 0, total)
        with open_engine(config) as engine:
            run_local(
                run,
                display,
                shards=list(shards),
                committed=display.committed,
                compute=retry,
                engine=engine,
            )
    aggregate(run)  # also without any: an interrupted command may have left the report behind
    return total
