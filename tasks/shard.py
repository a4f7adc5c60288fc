"""The task that computes one shard: the only one that needs a GPU."""

from __future__ import annotations

from typing import Any

from prefect import get_run_logger, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import flow_run, task_run
from prefect.tasks import Task, exponential_backoff

from seraser_core.errors import DeviceLostError, ErrorRateError, SeraserError, TransientError
from seraser_core.results.records import Commit
from tasks.engine import engine
from tasks.observer import ShardProgress, current

BACKOFF_S = 2
JITTER = 0.5
MOST_RETRIES = 50
"""Number of delays that Prefect accepts."""


_stopped: dict[tuple[str, str], str] = {}
"""Flow run and run directory -> why no more of its shards are started."""


def is_passing(_: Task[Any, Any], __: TaskRun, state: State[Any]) -> bool:
    """Return whether an attempt failed for a reason that may pass while this process lives."""
    return isinstance(state.data, TransientError) and not isinstance(state.data, DeviceLostError)


@task(
    name="shard",
    task_run_name="shard-{shard_id}",
    tags=["gpu"],
    retries=3,
    retry_delay_seconds=exponential_backoff(BACKOFF_S),
    retry_jitter_factor=JITTER,
    retry_condition_fn=is_passing,
)
def shard(run_url: str, shard_id: str) -> Commit:
    """Compute one shard of a run and commit it, unless it is done.

    Returns:
        The shard's commit.
    """
    observer = current()
    progress = ShardProgress(observer)
    run = (str(flow_run.id), run_url)
    if run in _stopped:
        raise SeraserError(f"not begun: {_stopped[run]}")
    try:
        commit = engine().compute(run_url, shard_id, progress, task_run.run_count or 1)
    except ErrorRateError:
        _stopped[run] = "too many images of another shard failed"
        raise
    except DeviceLostError:
        _stopped[run] = "the GPU is lost to this process"
        raise
    except TransientError as error:
        progress.begin_again()
        observer.say(f"shard {shard_id}: {error}; to be tried again")
        raise
    observer.committed(commit.timings)
    get_run_logger().info(
        "shard %s: %d images in %.1f s, %d error rows",
        shard_id,
        commit.images,
        commit.timings.wall_s,
        commit.errors,
    )
    return commit


def shard_with_retries(retries: int) -> Task[Any, Any]:
    """The shard task with a run's own number of retries."""
    return shard.with_options(retries=min(retries, MOST_RETRIES))
