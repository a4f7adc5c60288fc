"""Progress of a run: how far it is, what failed, how fast it was and what bounded it."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from seraser_core.results.counted import CountedRun
from seraser_core.results.failed import first_failed
from seraser_core.results.nights import is_series
from seraser_core.results.picture_sums import PictureSums, describe_pictures, picture_warnings
from seraser_core.results.records import Commit
from seraser_core.results.series import Series
from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import Damaged, State, failures_of
from seraser_core.results.sums import MethodSums
from seraser_core.results.timings import bound_by, elapsed, overhead, process_times
from seraser_core.results.workers import remaining_s, workers_of
from seraser_core.sources.items import ShardRange
from seraser_core.waiting import waiting


@waiting("reading the run")
def status(run_url: str) -> dict[str, Any]:
    """State of a run, or of all runs of a series, as a document for people and scripts.

    ``seconds`` are sums: over processes of the ``wall`` time from their first shard to their last,
    times the shards that they compute at once; over shards of ``model`` (in which ``encode`` is
    the image tower), ``load`` (of the model), ``data_wait`` (for pictures that were not decoded
    yet), ``rows`` and ``write``. ``overhead`` is the share of the wall time that is none of model,
    load and data_wait. ``fetch`` and ``decode`` are sums over threads beside the model,
    ``fetch_wait`` and ``decode_wait`` what these were waited for; ``masks`` is the time of storage
    for masks that the run makes, which counts as neither model nor decode. ``images_per_s`` is by
    the clock, whatever the number of processes; ``seconds_per_image`` is what a method costs beyond
    the features of the image itself, with those of its other views, were it alone. ``peak_bytes``
    is the most memory of a GPU that was in use while a method computed: with the model, without the
    encoding of views, which methods share; it has no methods that ran on CPUs.
    ``pictures`` holds how many are almost of one colour, and what share of a picture is foreground;
    ``warnings``, what of it makes one doubt. ``damaged`` says what is wrong with shards that were
    committed and yet are not done. ``first_errors`` names the first images that could not be used.
    ``workers`` are the processes that made the newest commits, the last one first, each with its
    ``host``, ``process``, ``device``, ``shards``, ``images``, ``images_per_s`` and the time of its
    ``last_commit`` in seconds since 1970; ``remaining_s`` is how long those that still commit need
    for the rest, null where none does.

    Raises:
        RunDirectoryError: There is no run.
    """
    if is_series(run_url):
        series = Series(run_url)
        return describe_series(series, series.counted())
    directory = RunDirectory(run_url)
    return describe(directory, directory.states())


def describe(
    directory: RunDirectory, states: Mapping[str, State], rows: bool = True
) -> dict[str, Any]:
    """Return the document of `status` for a run.

    Args:
        directory: The run.
        states: Of its shards.
        rows: Whether to read rows, for the first images that could not be used.
    """
    named = {"run": directory.url, "run_id": directory.run.run_id}
    return named | _described([CountedRun(directory, states)], lambda _, shard: shard, rows)


def describe_series(series: Series, runs: Sequence[CountedRun]) -> dict[str, Any]:
    """Return the document of `status` for a series of these runs.

    ``replaced`` counts images of which another night's rows count, see `CountedRun`.
    """
    named = {
        "run": series.url,
        "run_id": series.name,
        "nights": len(runs),
        "replaced": sum(len(run.replaced) for run in runs),
    }
    return named | _described(runs, lambda run, shard: f"{run.run.run_id}/{shard}")


def _described(
    runs: Sequence[CountedRun], name: Callable[[RunDirectory, str], str], rows: bool = True
) -> dict[str, Any]:
    """Return what `status` says of one or more runs; `name` gives the name of a shard."""
    commits: list[Commit] = []
    total: list[ShardRange] = []
    damaged, failures = {}, {}
    for run in runs:
        directory = run.directory
        commits += run.commits.values()
        total += directory.shards()
        for shard_id, state in run.states.items():
            if isinstance(state, Damaged):
                damaged[name(directory, shard_id)] = describe_damage(directory, state)
        for shard_id, failure in failures_of(run.states).items():
            failures[name(directory, shard_id)] = f"{failure} (attempt {failure.attempt})"
    pictures = PictureSums.total(commit.pictures for commit in commits)
    done = sum(run.images for run in runs)
    images = sum(map(len, total)) - sum(len(run.replaced) for run in runs)
    sums = [sums for run in runs for sums in run.sums.values()]
    return {
        "finished": len(commits) == len(total),
        "shards": {"done": len(commits), "total": len(total), "failed": len(failures)},
        "images": {"done": done, "total": images},
        "rows": sum(of_method.rows for of_shard in sums for of_method in of_shard.values()),
        "errors": _errors(sums),
        "first_errors": first_failed(runs) if rows else [],
        "pictures": describe_pictures(pictures),
        "warnings": list(picture_warnings(pictures)),
        "damaged": damaged,
        "failures": failures,
    } | _speed(commits, images - done)


def costs(status: Mapping[str, Any], method: str) -> dict[str, float | int | None]:
    """Return what a method costs, under the names of columns, from the document of `status`."""
    peak = status.get("peak_bytes", {}).get(method)
    return {
        "seconds_per_image": status.get("seconds_per_image", {}).get(method),
        "peak_mib": None if peak is None else round(peak / 2**20),
    }


def describe_damage(directory: RunDirectory, damaged: Damaged) -> str:
    """Say what is wrong with a shard, and what computes it again."""
    return f"{directory.path(damaged.file)} {damaged.what}; `seraser repair` computes it again"


def _errors(shards: Iterable[Mapping[str, MethodSums]]) -> dict[str, dict[str, int]]:
    """Method -> error code -> rows."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for shard in shards:
        for method, sums in shard.items():
            counts[method].update(sums.errors)
    return {method: dict(count) for method, count in counts.items() if count}


def _speed(commits: Sequence[Commit], left: int) -> dict[str, Any]:
    """Speed of the images that the newest commits computed, all or those that had failed.

    Args:
        commits: Of the shards that are done.
        left: Number of images without rows.
    """
    if not commits:
        return {}
    images = sum(commit.timings.images for commit in commits)
    seconds: defaultdict[str, float] = defaultdict(float)
    methods: defaultdict[str, float] = defaultdict(float)
    peaks: dict[str, int] = {}
    for commit in commits:
        for key, value in [*commit.timings.seconds().items(), ("write_s", commit.write_s)]:
            seconds[key] += value
        for of_methods in (commit.timings.methods, commit.timings.views):
            for method, value in of_methods.items():
                methods[method] += value
        for method, used in commit.timings.peak_bytes.items():
            peaks[method] = max(used, peaks.get(method, 0))
    processes = process_times(commits)
    seconds["wall_s"] = sum(process.wall_s for process in processes)
    workers, now = workers_of(commits), time.time()
    return {
        "workers": [worker.document() for worker in workers],
        "remaining_s": remaining_s(workers, left, now),
        "images_per_s": images / max(elapsed(process.span for process in processes), 1e-9),
        "bound_by": bound_by(seconds),
        "overhead": overhead(seconds) / seconds["wall_s"],
        "seconds": {name.removesuffix("_s"): round(value, 3) for name, value in seconds.items()},
        "seconds_per_image": {method: value / max(1, images) for method, value in methods.items()},
        "peak_bytes": peaks,
    }
