"""The flows: plan a run, compute its shards, merge them."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger, unmapped
from prefect.task_runners import ThreadPoolTaskRunner

from flows.labels import label, label_planned
from flows.parts import compute_in_parts
from flows.reasons import reasons
from flows.watching import on_pages
from seraser_core.config import load_config
from seraser_core.engines.planned import config_here
from seraser_core.errors import DeviceLostError, SeraserError
from seraser_core.results.nights import is_series
from seraser_core.results.series import described_run
from seraser_core.results.shards import RunDirectory, opened
from seraser_core.results.states import Done, failures_of
from seraser_core.results.watched import WatchedRun
from seraser_core.runner.series import finish_runs
from tasks.aggregate import aggregate
from tasks.engine import computing_as, engine, in_parts
from tasks.observer import current, observing_as
from tasks.plan import plan
from tasks.shard import shard_with_retries


@flow(name="seraser", validate_parameters=True)
def seraser(config: str | dict[str, Any], overrides: list[str] = []) -> str:  # noqa: B006
    """Evaluate a CLIP model on a data set; the same configuration resumes the same run.

    What is done is read from the run directory, never from the states of tasks: so it does not
    matter who computed a shard, or which server knew about it.

    Args:
        config: Path or URL of a YAML file, or the configuration itself.
        overrides: Changes to it, ``a.b=value`` each.

    Returns:
        URL of the run directory, or of the series.

    Raises:
        SeraserError: Shards failed for good; all others are computed and kept.
    """
    label(config, overrides)
    with reasons():
        loaded = load_config(config, overrides)
        with computing_as(loaded), observing_as(loaded):
            run_url = plan(config, overrides)
            finish(run_url)
    return run_url


@flow(name="seraser-planned", validate_parameters=True)
def planned(run_url: str) -> None:
    """Complete a run, or the runs of a series, that are already planned.

    Args:
        run_url: The run directory, or the series.

    Raises:
        SeraserError: Shards failed for good; all others are computed and kept.
    """
    with reasons():
        label_planned(described_run(run_url))
        config = config_here(run_url)
        with computing_as(config), observing_as(config):
            finish(run_url)


def finish(run_url: str) -> None:
    """Compute the missing shards of a planned run, or a series, and merge them all."""
    opened.cache_clear()  # the run may have been planned again since
    if is_series(run_url):
        finish_runs(run_url, finish)
        aggregate(run_url)
        return
    directory = WatchedRun(run_url)
    check_complete(directory, compute_missing(directory))
    aggregate(run_url)


def compute_missing(directory: WatchedRun) -> list[str]:
    """Compute the shards that are not done, and show progress meanwhile.

    Returns:
        Ids of the shards whose task did not complete, in order.
    """
    run, shards = directory.run, directory.shards()
    missing = directory.missing()
    total = sum(map(len, shards))
    done = total - sum(map(len, missing))
    current().planned(directory.url, done, total)
    get_run_logger().info(
        "run %s: %d of %d shards to compute", run.run_id, len(missing), len(shards)
    )
    names, options = [shard.id for shard in missing], in_parts()
    with on_pages(directory, done, total):
        if not names:
            return []
        if options is not None:
            return compute_in_parts(directory, names, options)
        return _failed(directory, names)


def _failed(directory: RunDirectory, names: list[str]) -> list[str]:
    """Map the shard task over some shards, and return those whose task did not complete."""
    engine().start()
    runtime = directory.run.config.runtime
    at_once = min(engine().slots(runtime.parallel_shards), len(names))
    runner: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(at_once)
    with runner:
        futures = runner.map(
            shard_with_retries(runtime.retries),
            {"run_url": unmapped(directory.url), "shard_id": names},
        )
        for future in futures:
            future.wait()
        return [
            name
            for name, future in zip(names, futures, strict=True)
            if not future.state.is_completed()
        ]


def check_complete(directory: RunDirectory, failed: list[str]) -> None:
    """Check that another worker computed the shards that failed here.

    Raises:
        SeraserError: Some were not; names the last fault of the first of them.
    """
    states = {shard_id: directory.state(shard_id, deep=True) for shard_id in failed}
    missing = {name: state for name, state in states.items() if not isinstance(state, Done)}
    if not missing:
        return
    failures = failures_of(missing)
    lost = any(failure.error == DeviceLostError.__name__ for failure in failures.values())
    names = ", ".join(list(missing)[:3])  # of workers that were killed there is no record
    first = "; ".join(f"{name}: {failure}" for name, failure in list(failures.items())[:3])
    raise (DeviceLostError if lost else SeraserError)(
        f"{len(missing)} of {len(directory.shards())} shards failed "
        f"({first or names}); run the same configuration again to compute them"
    )
