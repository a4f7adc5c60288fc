"""Losses beside the pictures of a report."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from seraser_core.results import scan
from seraser_core.results.counted import CountedRun
from seraser_core.results.losses import with_losses


def counted(directory) -> CountedRun:
    return CountedRun(directory, directory.states())


def test_losses_are_those_of_the_rows(finished):
    rows = scan(finished.url).filter(pl.col("method") == "seraser").collect()
    chosen = rows.filter(pl.col("item_index").is_in([0, 2, 3, 11]))
    pictures = chosen.select("item_id", "item_index").reverse()
    found = with_losses(pictures, [counted(finished)], "seraser")
    expected = chosen.select("item_id", "item_index", "loss_first", "loss_last").reverse()
    assert found.equals(expected)
    assert found["loss_first"].null_count() == 1, "the image that failed has none"


def test_only_shards_with_the_images_are_read_and_a_lost_one_costs_its_losses(finished):
    run = counted(finished)
    pictures = scan(finished.url).filter(pl.col("method") == "seraser")
    pictures = pictures.select("item_id", "item_index").collect()
    for shard in ("00000", "00002"):
        for file in Path(finished.url).glob(f"*/{shard}*.parquet"):
            file.unlink()
    found = with_losses(pictures, [run], "seraser")
    known = found.filter(pl.col("loss_first").is_not_null())["item_index"].to_list()
    assert known == list(range(5, 10))
