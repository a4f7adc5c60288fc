"""Reading a whole run again, and comparing everything with everything."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.results import documents
from seraser_core.results.fingerprints import differing, fingerprint, plan_hash
from seraser_core.results.metrics import count_rows
from seraser_core.results.run_directory import RunDirectory
from seraser_core.results.schema import PREDICTIONS_SCHEMA
from seraser_core.sources.items import ShardRange

_PLANNED = ("item_index", "item_id", "image", "label", "attribute")


@dataclass
class VerifyReport:
    """What `verify` found.

    Attributes:
        run: URL of the run directory.
        problems: One line each; empty when all is as planned.
        shards: Planned shards.
        done: Shards with a valid commit.
        rows: Prediction rows read.
        images: Planned images.
    """

    run: str
    problems: list[str] = field(default_factory=list)
    shards: int = 0
    done: int = 0
    rows: int = 0
    images: int = 0


def verify(run_url: str) -> VerifyReport:
    """Read plan, commits, Parquet and metrics of a run again and compare them.

    Raises:
        RunDirectoryError: There is no run.
    """
    directory = RunDirectory(run_url)
    run, report = directory.run(), VerifyReport(directory.url)
    report.problems += _run_problems(run)
    try:
        items, shards = directory.items(), directory.shards()
        report.problems += _plan_problems(directory, run, items, shards)
    except RunDirectoryError as error:
        report.problems.append(f"plan: {error}")
        return report
    report.images, report.shards = items.num_rows, len(shards)
    commits = directory.commits()
    report.done = len(commits)
    for shard in shards:
        if shard.id not in commits:
            report.problems.append(f"shard {shard.id}: no commit of this run")
            continue
        planned = items.slice(max(0, shard.start), max(0, shard.stop - shard.start))
        for problem in _shard_problems(directory, run, shard.id, commits[shard.id], planned):
            report.problems.append(f"shard {shard.id}: {problem}")
        report.rows += int(commits[shard.id]["rows"])
    report.problems += _strays(directory, {shard.id for shard in shards})
    return report


def _run_problems(run: dict[str, Any]) -> Iterator[str]:
    inputs, config = run["fingerprint_inputs"], run["config"]
    if fingerprint(inputs) != run["fingerprint"]:
        yield "run.json: the fingerprint is not that of its inputs"
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
        yield f"run.json: {name} is not what the fingerprint was made of"


def _without(mapping: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in names}


def _plan_problems(
    directory: RunDirectory, run: dict[str, Any], items: pa.Table, shards: list[ShardRange]
) -> Iterator[str]:
    try:
        directory.check_items()
    except RunDirectoryError as error:
        yield f"plan: {error}"
    if plan_hash(items, shards) != run["plan_hash"]:
        yield "plan: its hash is not the one in run.json"
    edges = [0, *(shard.stop for shard in shards)]
    if [shard.start for shard in shards] != edges[:-1] or edges[-1] != items.num_rows:
        yield "plan: the shards do not cover the images once"


def _shard_problems(
    directory: RunDirectory,
    run: dict[str, Any],
    shard_id: str,
    commit: dict[str, Any],
    planned: pa.Table,
) -> Iterator[str]:
    try:
        data = documents.read(directory.predictions_path(shard_id))
    except FileNotFoundError:
        yield "its Parquet file is missing"
        return
    if hashlib.sha256(data).hexdigest() != commit["sha256"]:
        yield "its Parquet file is not the one that the commit names"
        return
    try:
        rows = pq.read_table(io.BytesIO(data))
    except pa.ArrowException as error:
        yield f"its Parquet file cannot be read: {error}"
        return
    footer = (rows.schema.metadata or {}).get(b"seraser_fingerprint", b"").decode()
    if not rows.schema.equals(PREDICTIONS_SCHEMA) or footer != run["fingerprint"]:
        yield "its Parquet file has another schema or fingerprint"
        return
    frame, methods = pl.DataFrame(rows), [method["id"] for method in run["methods"]]
    expected = pl.DataFrame(planned.select(_PLANNED)).join(
        pl.DataFrame({"method": methods}), how="cross", maintain_order="left_right"
    )
    if not frame.select(expected.columns).equals(expected):
        yield f"its {frame.height} rows are not one per planned image and method, in order"
    ok = int((frame["status"] == "ok").sum())
    if (commit["rows"], commit["ok"], commit["errors"]) != (
        frame.height,
        ok,
        frame.height - ok,
    ):
        yield "the counts in its commit are not those of its rows"
    try:
        sums = directory.committed_metrics(shard_id, commit, run)["methods"]
    except RunDirectoryError as error:
        yield f"its metrics are not usable: {error}"
        return
    for method, counted in count_rows(frame, methods).items():
        kept = sums.get(method, {})
        names = [name for name, value in counted.items() if not _same(value, kept.get(name))]
        if names:
            yield f"metrics of {method} are not those of its rows: {', '.join(names)}"


def _same(a: Any, b: Any) -> bool:
    """Equal, real numbers up to rounding."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float):
        return isinstance(b, int | float) and math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
    return bool(a == b)


def _strays(directory: RunDirectory, planned: set[str]) -> Iterator[str]:
    """Files that ``predictions/*.parquet`` would read although no shard has them."""
    for name in storage.list_files(directory.path("predictions")):
        if name.removesuffix(".parquet") not in planned:
            yield f"predictions/{name} belongs to no planned shard"
