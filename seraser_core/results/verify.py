"""Reading a whole run again, and comparing everything with everything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from seraser_core.errors import RunDirectoryError
from seraser_core.results import records
from seraser_core.results.fingerprints import differing, fingerprint, plan_hash_of, pool_hashes
from seraser_core.results.problems import Problem, VerifyReport
from seraser_core.results.run import pool_file
from seraser_core.results.shards import RunDirectory
from seraser_core.results.verify_report import run_report_problems
from seraser_core.results.verify_shard import PLANNED, CheckedShard, check_shard
from seraser_core.sources.items import ShardRange
from seraser_core.waiting import waiting

_RUN, _PLAN, _ITEMS = "run.json", "plan/plan.json", "plan/items.parquet"
_PER_SHARD = {
    "attempts": r"\.(0|[1-9]\d*)-[0-9a-f]{12}\.parquet",
    "commits": r"\.(0|[1-9]\d*)\.(json|again)",
    "predictions": r"\.parquet",
    "samples": r"\.parquet",
    "failures": r"\.json",
}
"""Folder -> pattern of what follows the id of the shard in the names of its files."""


@waiting("re-reading the run")
def verify(run_url: str) -> VerifyReport:
    """Read every file of a run again, hash it, and compare it with all others.

    Sums and report are made again from the prediction rows.

    Raises:
        RunDirectoryError: There is no run, or its run.json cannot be read.
    """
    directory = RunDirectory(run_url)
    report = VerifyReport(directory.url)
    report.problems += _run_problems(directory)
    try:
        shards = directory.shards()
    except RunDirectoryError as error:
        report.problems.append(Problem(_PLAN, str(error)))
        return report
    report.problems += _seal_problems(directory, _PLAN)
    try:
        items = directory.item_columns(PLANNED)  # in a damaged file, nothing is looked at
    except RunDirectoryError as error:
        report.problems.append(Problem(_ITEMS, str(error)))
        return report
    report.problems += _plan_problems(directory, items.num_rows, shards)
    whole = not report.problems
    report.images, report.shards = items.num_rows, len(shards)

    def check(shard: ShardRange) -> CheckedShard:
        planned = items.slice(max(0, shard.start), max(0, shard.stop - shard.start))
        return check_shard(directory, shard.id, planned)

    with ThreadPoolExecutor(records.READERS) as pool:
        checked = list(pool.map(check, shards))
    commits = [shard.commit for shard in checked if shard.commit is not None]
    report.done = len(commits)
    report.rows = sum(commit.rows for commit in commits)
    report.problems += [problem for shard in checked for problem in shard.problems]
    report.problems += _strays(directory, {shard.id for shard in shards})
    if whole:
        report.problems += run_report_problems(directory, checked)
    else:
        report.unchecked.append("report: the plan that says what belongs in it is not whole")
    return report


def _run_problems(directory: RunDirectory) -> Iterator[Problem]:
    run, inputs = directory.run.model_dump(), directory.run.fingerprint_inputs.document()
    yield from _seal_problems(directory, _RUN)
    config = run["config"]
    if fingerprint(inputs) != run["fingerprint"]:
        yield Problem(_RUN, "the fingerprint is not that of its inputs")
    said = {
        **{name: run[name] for name in ("classes", "attributes", "prompts", "methods")},
        "plan": run["plan_hash"],
        **{f"config.{name}": config.get(name) for name in ("seed", "save_logits")},
        "config.methods": [
            {"id": m.get("id"), "name": m.get("name"), "options": _without(m, "id", "name")}
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
    if fault := records.seal_fault(records.read(directory.path(name))):
        yield Problem(name, fault)


def _plan_problems(
    directory: RunDirectory, images: int, shards: list[ShardRange]
) -> Iterator[Problem]:
    if plan_hash_of(directory.item_parts(), shards) != directory.run.plan_hash:
        yield Problem(_PLAN, "the hash of the plan is not the one in run.json")
    edges = [0, *(shard.stop for shard in shards)]
    for method, planned in directory.run.fingerprint_inputs.document().get("pools", {}).items():
        try:
            found = pool_hashes({method: directory.pool(method)})[method]
        except RunDirectoryError as error:
            yield Problem(pool_file(method), str(error))
            continue
        if found != planned:
            yield Problem(pool_file(method), "has other images than the fingerprint was made of")
    if [shard.start for shard in shards] != edges[:-1] or edges[-1] != images:
        yield Problem(_PLAN, "the shards do not cover the images once")


def _strays(directory: RunDirectory, planned: set[str]) -> Iterator[Problem]:
    """Files of no planned shard, which ``predictions/*.parquet`` would read nevertheless."""
    for folder, end in _PER_SHARD.items():
        for name in directory.files(folder):
            shard_id, _, rest = name.partition(".")
            if shard_id not in planned or not re.fullmatch(end, f".{rest}", re.ASCII):
                yield Problem(f"{folder}/{name}", "belongs to no planned shard; remove it")
