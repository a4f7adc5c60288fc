"""Reading the files of one shard again, and comparing them with each other and the plan."""

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

from seraser_core.errors import RunDirectoryError
from seraser_core.results import documents
from seraser_core.results.counting import COUNTED, count_rows, proper_scores
from seraser_core.results.problems import Problem
from seraser_core.results.run_directory import RunDirectory
from seraser_core.results.schema import PREDICTIONS_SCHEMA
from seraser_core.results.sums import MethodSums

_PLANNED = ("item_index", "item_id", "image", "label", "attribute")
_SAME = {"fingerprint": "configuration", "plan_hash": "plan"}


@dataclass
class CheckedShard:
    """Result of checking a shard.

    Attributes:
        id: Of the shard.
        problems: Empty when all its files are as planned.
        commit: Its commit, when that is one of this run.
        sums: Method -> sums, counted from the rows, when there are no problems.
    """

    id: str
    problems: list[Problem] = field(default_factory=list)
    commit: dict[str, Any] | None = None
    sums: dict[str, MethodSums] = field(default_factory=dict)


def check_shard(
    directory: RunDirectory, run: dict[str, Any], shard_id: str, planned: pa.Table
) -> CheckedShard:
    """Read commit, Parquet file and metrics of a shard.

    Args:
        directory: Where the run is.
        run: run.json.
        shard_id: The shard.
        planned: Its items.
    """
    shard = CheckedShard(shard_id)
    shard.problems += _commit_problems(directory, run, shard)
    if not shard.problems:
        shard.problems += _file_problems(directory, run, shard, planned)
    return shard


def _commit_problems(
    directory: RunDirectory, run: dict[str, Any], shard: CheckedShard
) -> Iterator[Problem]:
    file = f"commits/{shard.id}.json"
    url = directory.path(file)
    try:
        data = documents.read(url)
        commit = documents.parse(data, url, documents.COMMIT)
    except FileNotFoundError:
        left = directory.parquet_hash(shard.id) is not None
        there = f", though predictions/{shard.id}.parquet is there" if left else ""
        yield Problem(file, f"is missing{there}", shard.id)
        return
    except RunDirectoryError as error:
        yield Problem(file, str(error), shard.id)
        return
    other = [what for key, what in _SAME.items() if commit[key] != run[key]]
    if other:
        yield Problem(file, f"is of another {' and '.join(other)}", shard.id)
        return
    shard.commit = commit
    if commit.get("shard") != shard.id:
        yield Problem(file, f"is the commit of shard {commit.get('shard')}", shard.id)
    elif fault := documents.seal_fault(data):
        yield Problem(file, fault, shard.id)


def _file_problems(
    directory: RunDirectory, run: dict[str, Any], shard: CheckedShard, planned: pa.Table
) -> Iterator[Problem]:
    commit = shard.commit or {}
    try:
        frame = _read_rows(directory, run, shard.id, commit)
    except RunDirectoryError as error:
        yield Problem(f"predictions/{shard.id}.parquet", str(error), shard.id)
        return
    methods = [method["id"] for method in run["methods"]]
    for what in _row_problems(frame, methods, commit, planned):
        yield Problem(f"predictions/{shard.id}.parquet", what, shard.id)
    file = f"metrics/{shard.id}.json"
    try:
        kept = directory.committed_metrics(shard.id, commit, run)["methods"]
    except RunDirectoryError as error:
        yield Problem(file, str(error), shard.id)
        return
    counted = count_rows(frame.select(COUNTED), methods)
    for method, sums in counted.items():
        scores = _scores(frame.filter(pl.col("method") == method), kept[method])
        counted[method] = sums = sums.model_copy(update=scores)
        names = [name for name, value in sums if not same(value, getattr(kept[method], name))]
        if names:
            what = f"the sums of {method} are not those of its rows: {', '.join(names)}"
            yield Problem(file, what, shard.id)
    shard.sums = counted


def _read_rows(
    directory: RunDirectory, run: dict[str, Any], shard_id: str, commit: dict[str, Any]
) -> pl.DataFrame:
    """The rows of the file that the commit names.

    Raises:
        RunDirectoryError: There is none, or it is another one.
    """
    try:
        data = documents.read(directory.predictions_path(shard_id))
    except FileNotFoundError:
        raise RunDirectoryError("is missing") from None
    if hashlib.sha256(data).hexdigest() != commit["sha256"] or len(data) != commit["bytes"]:
        raise RunDirectoryError("is not the file that the commit names")
    try:
        rows = pq.read_table(io.BytesIO(data))
    except pa.ArrowException as error:
        raise RunDirectoryError(f"cannot be read: {error}") from None
    footer = (rows.schema.metadata or {}).get(b"seraser_fingerprint", b"").decode()
    if not rows.schema.equals(PREDICTIONS_SCHEMA) or footer != run["fingerprint"]:
        raise RunDirectoryError("has another schema or fingerprint")
    return pl.DataFrame(rows)


def _row_problems(
    frame: pl.DataFrame, methods: list[str], commit: dict[str, Any], planned: pa.Table
) -> Iterator[str]:
    expected = pl.DataFrame(planned.select(_PLANNED)).join(
        pl.DataFrame({"method": methods}), how="cross", maintain_order="left_right"
    )
    if not frame.select(expected.columns).equals(expected):
        yield f"its {frame.height} rows are not one per planned image and method, in order"
    ok = int((frame["status"] == "ok").sum())
    counts = (planned.num_rows, frame.height, ok, frame.height - ok)
    if tuple(commit[name] for name in ("images", "rows", "ok", "errors")) != counts:
        yield "the counts in its commit are not those of its rows"


def _scores(rows: pl.DataFrame, kept: MethodSums) -> dict[str, float | None]:
    """NLL and Brier score: from the logits where rows have them, else as kept."""
    known = rows.filter((pl.col("status") == "ok") & pl.col("label").is_not_null())
    if not known.height:
        return {"nll": 0.0, "brier": 0.0}
    if known["logits"].null_count():
        return {"nll": kept.nll, "brier": kept.brier}
    logits = known["logits"].explode().to_numpy().reshape(known.height, -1)
    nll, brier = proper_scores(logits, known["label"].to_numpy())
    return {"nll": nll, "brier": brier}


def same(a: Any, b: Any) -> bool:
    """Equal, real numbers up to rounding."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(a) and math.isnan(b))
    return bool(a == b)
