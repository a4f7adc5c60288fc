"""Reading a whole run again, and comparing everything with everything."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.results import documents
from seraser_core.results.fingerprints import differing, fingerprint, plan_hash
from seraser_core.results.problems import Problem, VerifyReport
from seraser_core.results.run_directory import RunDirectory
from seraser_core.results.verify_report import report_problems
from seraser_core.results.verify_shard import CheckedShard, check_shard
from seraser_core.sources.items import ShardRange
from seraser_core.waiting import waiting

_RUN, _PLAN, _ITEMS = "run.json", "plan/plan.json", "plan/items.parquet"
_PER_SHARD = {
    "predictions": ".parquet",
    "metrics": ".json",
    "commits": ".json",
    "mended": ".json",
    "again": "",
}


@waiting("re-reading the run")
def verify(run_url: str) -> VerifyReport:
    """Read every file of a run again, hash it, and compare it with all others.

    Sums and report are made again from the prediction rows.

    Raises:
        RunDirectoryError: There is no run, or its run.json cannot be read.
    """
    directory = RunDirectory(run_url)
    run, report = directory.run(), VerifyReport(directory.url)
    report.problems += _run_problems(directory, run)
    try:
        shards = directory.shards()
    except RunDirectoryError as error:
        report.problems.append(Problem(_PLAN, str(error)))
        return report
    report.problems += _seal_problems(directory, _PLAN)
    try:
        directory.check_items()  # what is in a damaged file is not looked at
        items = directory.items()
    except RunDirectoryError as error:
        report.problems.append(Problem(_ITEMS, str(error)))
        return report
    report.problems += _plan_problems(run, items, shards)
    whole = not report.problems
    report.images, report.shards = items.num_rows, len(shards)

    def check(shard: ShardRange) -> CheckedShard:
        planned = items.slice(max(0, shard.start), max(0, shard.stop - shard.start))
        return check_shard(directory, run, shard.id, planned)

    with ThreadPoolExecutor(documents.READERS) as pool:
        checked = list(pool.map(check, shards))
    committed = [shard for shard in checked if shard.commit is not None]
    report.done = len(committed)
    report.rows = sum(int(shard.commit["rows"]) for shard in committed if shard.commit)
    report.problems += [problem for shard in checked for problem in shard.problems]
    report.problems += _strays(directory, {shard.id for shard in shards})
    report.problems += _accepted_problems(directory, shards)
    report.problems += _wanted_problems(directory, checked)
    if whole:
        report.problems += report_problems(directory, run, committed)
    else:
        report.unchecked.append("report: the plan that says what belongs in it is not whole")
    return report


def _run_problems(directory: RunDirectory, run: dict[str, Any]) -> Iterator[Problem]:
    yield from _seal_problems(directory, _RUN)
    inputs, config = run["fingerprint_inputs"], run["config"]
    if fingerprint(inputs) != run["fingerprint"]:
        yield Problem(_RUN, "the fingerprint is not that of its inputs")
    said = {
        **{name: run[name] for name in ("classes", "attributes", "prompts", "methods")},
        "plan": run["plan_hash"],
        **{f"config.{name}": config.get(name) for name in ("seed", "save_logits")},
        "config.methods": [
            {"id": m["id"], "name": m.get("name"), "options": _without(m, "id", "name")}
            for m in config["methods"]
        ],
    }
    hashed = {name: inputs.get(name.removeprefix("config.")) for name in said}
    hashed["config.methods"] = [_without(m, "stateful") for m in inputs.get("methods", [])]
    for name in differing(said, hashed):
        yield Problem(_RUN, f"{name} is not what the fingerprint was made of")


def _without(mapping: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in names}


def _seal_problems(directory: RunDirectory, name: str) -> Iterator[Problem]:
    if fault := documents.seal_fault(documents.read(directory.path(name))):
        yield Problem(name, fault)


def _plan_problems(
    run: dict[str, Any], items: pa.Table, shards: list[ShardRange]
) -> Iterator[Problem]:
    if plan_hash(items, shards) != run["plan_hash"]:
        yield Problem(_PLAN, "the hash of the plan is not the one in run.json")
    edges = [0, *(shard.stop for shard in shards)]
    if [shard.start for shard in shards] != edges[:-1] or edges[-1] != items.num_rows:
        yield Problem(_PLAN, "the shards do not cover the images once")


def _strays(directory: RunDirectory, planned: set[str]) -> Iterator[Problem]:
    """Files of no planned shard, which ``predictions/*.parquet`` would read nevertheless."""
    for folder, ending in _PER_SHARD.items():
        for name in storage.list_files(directory.path(folder)):
            if name.removesuffix(ending) not in planned:
                yield Problem(f"{folder}/{name}", "belongs to no planned shard; remove it")


def _accepted_problems(directory: RunDirectory, shards: list[ShardRange]) -> Iterator[Problem]:
    there = set(storage.list_files(directory.path("mended")))
    for shard in shards:
        name = f"{shard.id}.json"
        if name in there:
            try:
                directory.accepted(shard.id)
            except RunDirectoryError as error:
                yield Problem(f"mended/{name}", str(error))


def _wanted_problems(directory: RunDirectory, checked: list[CheckedShard]) -> Iterator[Problem]:
    """Shards that are whole, and yet somebody began to have them computed again."""
    again = directory.wanted_again()
    for shard in checked:
        if shard.id in again and not shard.problems:
            yield Problem(f"again/{shard.id}", "the shard is to be computed again", shard.id)
