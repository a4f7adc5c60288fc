"""The images on which methods disagree most: where to look when there are no labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl

from seraser_core import storage
from seraser_core.display import percent
from seraser_core.errors import RunDirectoryError
from seraser_core.results.counted import CountedRun
from seraser_core.results.records import READERS, RunRecord
from seraser_core.results.states import Done

MOST = 100
"""Images that are listed."""
_UNTOUCHED = "zero_shot"
_READ = (
    "item_index",
    "item_id",
    "image",
    "method",
    "status",
    "prediction",
    "prediction_name",
    "confidence",
    "zero_shot_prediction",
    "zero_shot_confidence",
)
_SCHEMA: dict[str, Any] = {
    "item_index": pl.Int64,
    "item_id": pl.String,
    "image": pl.String,
    "disagreement": pl.Float64,
    "confidence": pl.Float64,
    "predictions": pl.List(
        pl.Struct({"method": pl.String, "prediction_name": pl.String, "confidence": pl.Float64})
    ),
}
_ORDER = ("disagreement", "confidence", "item_id")


def disagreements(runs: Iterable[CountedRun]) -> pl.DataFrame:
    """The images on which the methods and the untouched prompt disagree most, at most `MOST`.

    Columns: ``disagreement``, the share of the methods that do not say what most of them say;
    ``confidence``, that of the least confident of them; ``predictions``, of every method. The
    largest disagreement comes first, then the most confident one, then the image of the first id:
    whatever the shards and runs, the list is the same.

    Args:
        runs: The runs that are looked at; a shard that is done is in memory per thread.

    Raises:
        RunDirectoryError: The rows of a shard are damaged.
    """
    done = [
        (run, state.file)
        for run in runs
        for state in run.states.values()
        if isinstance(state, Done)
    ]
    with ThreadPoolExecutor(READERS) as pool:
        tables = list(pool.map(lambda one: _of_shard(*one), done))
    return _first(pl.concat([pl.DataFrame(schema=_SCHEMA), *tables]))


def _of_shard(run: CountedRun, file: str) -> pl.DataFrame:
    directory = run.directory
    path = directory.path(file)
    table = pl.scan_parquet(path, glob=False, storage_options=storage.polars_options(directory.url))
    try:
        rows = table.select(_READ).collect()
    except pl.exceptions.PolarsError as error:
        what = f"{path} is damaged: {error}; `seraser repair {directory.url}` mends it"
        raise RunDirectoryError(what) from None
    return most_disagreed(run.that_count(rows), directory.run)


def most_disagreed(rows: pl.DataFrame, run: RunRecord) -> pl.DataFrame:
    """Find the disagreements in some prediction rows, see `disagreements`."""
    rows = rows.filter(pl.col("status") == "ok")
    columns = ["item_index", "item_id", "image", "method", "prediction", "prediction_name"]
    said = rows.select(*columns, pl.col("confidence").cast(pl.Float64))
    if _UNTOUCHED not in {method.name for method in run.methods}:
        once = rows.unique("item_index", keep="first", maintain_order=True)
        names = pl.Series(run.classes, dtype=pl.String)
        untouched = once.select(
            *columns[:3],
            pl.lit(_UNTOUCHED).alias("method"),
            pl.col("zero_shot_prediction").alias("prediction"),
            names.gather(once["zero_shot_prediction"]).alias("prediction_name"),
            pl.col("zero_shot_confidence").cast(pl.Float64).alias("confidence"),
        )
        said = pl.concat([untouched, said])
    alike = said.group_by("item_index", "prediction").agg(pl.len().alias("alike"))
    shares = alike.group_by("item_index").agg(
        disagreement=1 - pl.col("alike").max() / pl.col("alike").sum()
    )
    disagreed = (
        said.group_by("item_index", maintain_order=True)
        .agg(
            pl.col("item_id", "image").first(),
            pl.col("confidence").min().alias("least"),
            pl.struct("method", "prediction_name", "confidence").alias("predictions"),
        )
        .rename({"least": "confidence"})
        .join(shares.filter(pl.col("disagreement") > 0), on="item_index")
        .select(*_SCHEMA)
    )
    return _first(disagreed)


def _first(table: pl.DataFrame) -> pl.DataFrame:
    return table.sort(_ORDER, descending=[True, True, False]).head(MOST)


def beside_each_other(table: pl.DataFrame, most: int) -> tuple[Sequence[str], list[dict[str, str]]]:
    """The first rows with one column per method, such as ``a camel, 97.2 %``.

    Returns:
        The columns, and the rows.
    """
    rows, methods = [], dict.fromkeys(["image"])
    for row in table.head(most).to_dicts():
        said = {
            one["method"]: f"{one['prediction_name']}, {percent(one['confidence'])}"
            for one in row["predictions"]
        }
        methods |= dict.fromkeys(said)
        rows.append({"image": row["item_id"], **said})
    return list(methods), rows
