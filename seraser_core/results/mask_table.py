"""The table that gives a data set the masks that a run has kept."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import polars as pl

from seraser_core import storage
from seraser_core.config import RunConfig, parse_config
from seraser_core.errors import SeraserError
from seraser_core.results.reading import scan
from seraser_core.results.shards import RunDirectory


@dataclass(frozen=True)
class MaskTable:
    """A table of masks.

    Attributes:
        url: Where it is.
        images: Its rows, one per image of the run.
        masks: Those with a mask; the other images could not be used.
        dataset: Options of the run's data set with these masks.
    """

    url: str
    images: int
    masks: int
    dataset: dict[str, Any]


def write_mask_table(run_url: str, kind: str) -> MaskTable:
    """Write ``masks/<kind>.parquet`` of a finished run, ready to be ``dataset.masks`` of another.

    Columns id and mask, whose paths are relative to the table: both may be moved together. Rows
    are in the plan's order.

    Args:
        run_url: A run with auxiliary images of this kind, whose masks are kept.
        kind: ``relevance`` or ``segment``.

    Raises:
        SeraserError: Masks are gone, and their shards are to be computed again.
    """
    directory = RunDirectory(run_url)
    rows = _rows(directory)
    paths = [
        directory.mask_path(kind, index) if status == "ok" else None
        for index, status in rows.select("item_index", "status").iter_rows()
    ]
    _check_kept(directory, kind, {path for path in paths if path is not None})
    folder = directory.path("masks")
    relative = [path and path.removeprefix(f"{folder}/") for path in paths]
    table = rows.select(pl.col("item_id").alias("id"), pl.Series("mask", relative, dtype=pl.String))
    data = io.BytesIO()
    table.write_parquet(data)
    url = storage.join(folder, f"{kind}.parquet")
    storage.write_bytes(url, data.getvalue())
    dataset = _dataset(parse_config(directory.run.config.document()), url)
    return MaskTable(url, table.height, len(paths) - paths.count(None), dataset)


def _rows(directory: RunDirectory) -> pl.DataFrame:
    """The planned items with the status of their rows."""
    of_one = scan(directory.url).filter(pl.col("method") == directory.run.method_ids[0])
    statuses: pl.DataFrame = of_one.select("item_index", "status").collect()
    items = pl.DataFrame(directory.items().select(["item_index", "item_id"]))
    return items.join(statuses, on="item_index", how="left", maintain_order="left")


def _check_kept(directory: RunDirectory, kind: str, wanted: set[str]) -> None:
    """See that the masks are there; shards of which some are not are to be computed again.

    Raises:
        SeraserError: Some are not.
    """
    folder = directory.path("masks", kind)
    there = {
        storage.join(folder, name) for name, file in storage.find_files(folder).items() if file.size
    }
    lost = wanted - there
    if not lost:
        return
    for shard in directory.shards():
        paths = {directory.mask_path(kind, index) for index in range(shard.start, shard.stop)}
        if paths & lost:
            directory.compute_again(shard.id)
    raise SeraserError(f"{len(lost)} masks are gone", "the same command makes them again")


def _dataset(config: RunConfig, url: str) -> dict[str, Any]:
    """The options of the run's own data set, with these masks in place of its own."""
    given = config.dataset.model_dump(mode="json", exclude_defaults=True, exclude={"mask"})
    return {"format": config.dataset.format, **given, "masks": url}
