"""Reading the files of one shard again, and comparing them with each other and the plan."""

from __future__ import annotations

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
from seraser_core.results import records
from seraser_core.results.counting import COUNTED, count_rows, proper_sums
from seraser_core.results.parquet_files import inputs_of
from seraser_core.results.problems import Problem
from seraser_core.results.records import Commit
from seraser_core.results.rows import failed_rows, is_of_run
from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import Damaged, Done, State
from seraser_core.results.sums import LATER, MethodSums

PLANNED = ("item_index", "item_id", "image", "label", "attribute")
"""Columns of the plan that rows repeat."""


@dataclass
class CheckedShard:
    """Result of checking a shard.

    Attributes:
        id: Of the shard.
        state: Its state, its files hashed.
        problems: Empty when all its files are as planned.
        sums: Method -> sums, counted from the rows, when there are no problems.
    """

    id: str
    state: State
    problems: list[Problem] = field(default_factory=list)
    sums: dict[str, MethodSums] = field(default_factory=dict)

    @property
    def commit(self) -> Commit | None:
        """Its newest commit, if that can be read."""
        match self.state:
            case Done(commit=commit):
                return commit
            case Damaged(commit=Commit() as commit, n=n) if commit.n == n:
                return commit
        return None


def check_shard(directory: RunDirectory, shard_id: str, planned: pa.Table) -> CheckedShard:
    """Read the commits and rows of a shard.

    Args:
        directory: Where the run is.
        shard_id: The shard.
        planned: Its items.
    """
    shard = CheckedShard(shard_id, directory.state(shard_id, deep=True))
    for file, what in _state_problems(directory, shard):
        shard.problems.append(Problem(file, what, shard_id))
    if isinstance(shard.state, Done):
        for file, what in _row_problems(directory, shard, shard.state, planned):
            shard.problems.append(Problem(file, what, shard_id))
    return shard


def _state_problems(directory: RunDirectory, shard: CheckedShard) -> Iterator[tuple[str, str]]:
    match shard.state:
        case Done(faults=faults):
            yield from faults.items()
        case Damaged(file=file, what=what):
            yield file, what
        case _:
            rows = f"predictions/{shard.id}.parquet"
            left = storage.exists(directory.path(rows))
            yield f"commits/{shard.id}.0.json", f"is missing{f', though {rows} is there' * left}"


def _row_problems(
    directory: RunDirectory, shard: CheckedShard, done: Done, planned: pa.Table
) -> Iterator[tuple[str, str]]:
    """The file and what is wrong, of rows that have the hash which their commit names."""
    commit, methods = done.commit, directory.run.method_ids
    try:
        rows = _read_rows(directory, done)
    except RunDirectoryError as error:
        yield done.file, str(error)
        return
    frame = pl.DataFrame(rows)
    expected = pl.DataFrame(planned.select(PLANNED)).join(
        pl.DataFrame({"method": methods}), how="cross", maintain_order="left_right"
    )
    if not frame.select(expected.columns).equals(expected):
        what = f"its {frame.height} rows are not one per planned image and method, in order"
        yield done.file, what
    file = f"commits/{shard.id}.{commit.n}.json"
    ok = int((frame["status"] == "ok").sum())
    counts = (planned.num_rows, frame.height, ok, frame.height - ok)
    if (commit.images, commit.rows, commit.ok, commit.errors) != counts:
        yield file, "its counts are not those of its rows"
    if commit.failed != failed_rows(rows):
        yield file, "it does not name the rows that failed"
    if commit.inputs != inputs_of(rows):
        yield file, "it does not name the files that were read though they are not as planned"
    counted = count_rows(frame.select(COUNTED), methods)
    for method, sums in counted.items():
        kept = commit.methods[method]
        of_method = frame.filter(pl.col("method") == method)
        known = proper_sums(of_method)
        scores: dict[str, Any] = (
            {"nll": kept.nll, "brier": kept.brier} if known is None else {**known}
        )
        scores["in_orders"] = kept.in_orders  # rows are of one order
        scores |= {name: None for name in LATER if getattr(kept, name) is None}
        sums = sums.model_copy(update=scores)
        counted[method] = sums = sums if kept.probabilistic else sums.without_probabilities()
        figures = kept.figures()
        names = [name for name, value in sums.figures().items() if not same(value, figures[name])]
        if names:
            yield file, f"the sums of {method} are not those of its rows: {', '.join(names)}"
    shard.sums = counted


def _read_rows(directory: RunDirectory, done: Done) -> pa.Table:
    """The rows of a shard.

    Raises:
        RunDirectoryError: They are no rows of this run.
    """
    try:
        rows = pq.read_table(io.BytesIO(records.read(directory.path(done.file))))
    except pa.ArrowException as error:
        raise RunDirectoryError(f"cannot be read: {error}") from None
    if not is_of_run(rows, directory.run):
        raise RunDirectoryError("has another schema or fingerprint")
    return rows


def same(a: Any, b: Any) -> bool:
    """Equal, real numbers up to rounding."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(a) and math.isnan(b))
    return bool(a == b)
