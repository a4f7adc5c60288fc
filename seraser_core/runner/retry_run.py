"""Computing the failed images of a whole run again."""

from __future__ import annotations

from collections.abc import Sequence

from seraser_core.display import count
from seraser_core.engines import open_engine
from seraser_core.engines.planned import config_here
from seraser_core.results.summary import aggregate
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.observers import Observer
from seraser_core.runner.retry import Retry
from seraser_core.waiting import waiting


def retry_run(
    run_url: str,
    retry: Retry,
    observer: Observer,
    overrides: Sequence[str] = (),
    one_of_many: bool = False,
) -> int:
    """Compute the failed images of a run again, and merge.

    Args:
        run_url: The run directory.
        retry: Which of them.
        observer: Told of what happens.
        overrides: ``execution.a=value`` texts.
        one_of_many: As of `Retry.shards`.

    Returns:
        Their number.

    Raises:
        SeraserError: As `Retry.shards` and `run_local`.
    """
    config = config_here(run_url, overrides)
    with waiting("looking for failed images"):
        shards = retry.shards(run_url, one_of_many)
    total = sum(shards.values())
    if shards:
        observer.say(f"{count(total, 'image')} in {count(len(shards), 'shard')} to compute again")
        observer.planned(run_url, 0, total)
        with open_engine(config) as engine:
            run_local(
                run_url,
                observer,
                shards=list(shards),
                committed=observer.committed,
                compute=retry,
                engine=engine,
            )
    aggregate(run_url)  # also without any: an interrupted one may have left the report behind
    return total
