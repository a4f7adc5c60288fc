"""How far a run is, what failed, how fast it was and what bounded it."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from seraser_core.results.failed import first_failed
from seraser_core.results.pictures import describe_pictures, merge_pictures, picture_warnings
from seraser_core.results.run_directory import RunDirectory
from seraser_core.results.survey import survey
from seraser_core.results.timings import bound_by, elapsed, overhead, process_times
from seraser_core.waiting import waiting


@waiting("reading the run")
def status(run_url: str) -> dict[str, Any]:
    """State of a run as a document for people and scripts.

    ``seconds`` are sums: over processes of the ``wall`` time from their first shard to their last,
    times the shards that they compute at once; over shards of ``model`` (in which ``encode`` is
    the image tower), ``load`` (of the model), ``data_wait`` (for pictures that were not decoded
    yet), ``rows`` and ``write``. ``overhead`` is the share of the wall time that is none of model,
    load and data_wait. ``fetch`` and ``decode`` are sums over threads beside the model,
    ``fetch_wait`` and ``decode_wait`` what these were waited for; ``masks`` is the time of storage
    for masks that the run makes, which counts as neither model nor decode. ``images_per_s`` is by
    the clock, whatever the number of processes; ``seconds_per_image`` is what a method costs beyond
    the features of the image itself, with those of its other views, were it alone.
    ``pictures`` holds how many are almost of one colour, and what share of a picture is foreground;
    ``warnings``, what of it makes one doubt. ``damaged`` says what is wrong with shards that were
    committed and yet are not done. ``first_errors`` names the first images that could not be used.

    Raises:
        RunDirectoryError: There is no run.
    """
    directory = RunDirectory(run_url)
    run, shards = directory.run(), directory.shards()
    found = survey(directory)
    commits, parts = found.commits, found.metrics
    again, failures = directory.wanted_again(), directory.attempts.failures()
    for shard_id in sorted(set(commits) & (again | set(failures))):
        if shard_id in again:
            found.damaged[shard_id] = "is to be computed again"
        elif directory.is_done(shard_id):  # a slower worker failed after the commit
            continue
        else:
            rows = directory.predictions_path(shard_id)
            found.damaged[shard_id] = f"{rows} is not the file that its commit names"
        del commits[shard_id], parts[shard_id]
    missing = {shard.id for shard in shards} - set(commits)
    failures = {name: record for name, record in failures.items() if name in missing}
    images = sum(shard.stop - shard.start for shard in shards)
    pictures = merge_pictures(parts.values())
    done = sum(int(commit["images"]) for commit in commits.values())
    return {
        "run": run_url,
        "run_id": run["run_id"],
        "finished": len(commits) == len(shards),
        "shards": {"done": len(commits), "total": len(shards), "failed": len(failures)},
        "images": {"done": done, "total": images},
        "rows": sum(int(commit["rows"]) for commit in commits.values()),
        "errors": _errors(parts),
        "first_errors": first_failed(directory, commits),
        "pictures": describe_pictures(pictures),
        "warnings": list(picture_warnings(pictures)),
        "damaged": found.damaged,
        "failures": {
            name: f"{record['error']}: {record['message']} (attempt {record['attempt']})"
            for name, record in failures.items()
        },
    } | _speed(commits, parts, done)


def _errors(parts: dict[str, dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Method -> error code -> rows."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for part in parts.values():
        for method, sums in part["methods"].items():
            counts[method].update(sums.errors)
    return {method: dict(count) for method, count in counts.items() if count}


def _speed(
    commits: dict[str, dict[str, Any]], parts: dict[str, dict[str, Any]], images: int
) -> dict[str, Any]:
    if not commits:
        return {}
    seconds: defaultdict[str, float] = defaultdict(float)
    methods: defaultdict[str, float] = defaultdict(float)
    for name, part in parts.items():
        for key, value in part["timings"].items():
            if key.endswith("_s"):
                seconds[key] += value
        for kind in ("methods", "views"):
            for method, value in part["timings"][kind].items():
                methods[method] += value
        seconds["write_s"] += commits[name]["write_s"]
    processes = process_times(
        (commit, int(parts[name]["timings"]["parallel_shards"])) for name, commit in commits.items()
    )
    seconds["wall_s"] = sum(process.wall_s for process in processes)
    return {
        "images_per_s": images / max(elapsed(process.span for process in processes), 1e-9),
        "bound_by": bound_by(seconds),
        "overhead": overhead(seconds) / seconds["wall_s"],
        "seconds": {name.removesuffix("_s"): round(value, 3) for name, value in seconds.items()},
        "seconds_per_image": {method: value / max(1, images) for method, value in methods.items()},
    }
