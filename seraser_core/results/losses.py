"""Losses of single images, beside their pictures in the report."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import polars as pl

from seraser_core import storage
from seraser_core.results.counted import CountedRun
from seraser_core.results.records import READERS
from seraser_core.results.states import Done

_COLUMNS = {"item_id": pl.String, "loss_first": pl.Float32, "loss_last": pl.Float32}


def with_losses(pictures: pl.DataFrame, runs: Sequence[CountedRun], method: str) -> pl.DataFrame:
    """Add ``loss_first`` and ``loss_last`` of a method, null where they are not known.

    Only shards that may hold one of the images are read. A shard that cannot be read has none:
    `verify` tells what is wrong with it.

    Args:
        pictures: Rows of a sample, with ``item_id`` and ``item_index``.
        runs: The runs that have them.
        method: Id of the method.
    """
    indices = pictures["item_index"].unique().sort()
    files = [
        (run, state.file)
        for run in runs
        for shard in run.directory.shards()
        if isinstance(state := run.states[shard.id], Done)
        and indices.is_between(shard.start, shard.stop, closed="left").any()
    ]
    ids = pictures["item_id"]
    with ThreadPoolExecutor(READERS) as pool:
        parts = list(pool.map(lambda one: _of_shard(one[0], one[1], ids, method), files))
    losses = pl.concat([pl.DataFrame(schema=_COLUMNS), *parts])
    return pictures.join(losses, on="item_id", how="left", maintain_order="left")


def _of_shard(run: CountedRun, file: str, ids: pl.Series, method: str) -> pl.DataFrame:
    options = storage.polars_options(run.directory.url)
    rows = pl.scan_parquet(run.directory.path(file), glob=False, storage_options=options)
    wanted = pl.col("item_id").is_in(ids.implode()) & (pl.col("method") == method)
    try:
        return run.that_count(rows).filter(wanted).select(*_COLUMNS).collect()
    except (pl.exceptions.PolarsError, OSError):
        return pl.DataFrame(schema=_COLUMNS)
