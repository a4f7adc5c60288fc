"""The table that makes a data set's mask column of the masks that a run has kept."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import polars as pl

from seraser_core import storage
from seraser_core.config import RunConfig, parse_config
from seraser_core.errors import SeraserError
from seraser_core.results.reading import scan
from seraser_core.results.run_directory import RunDirectory

_BOX = ("x0", "y0", "x1", "y1")


@dataclass(frozen=True)
class MaskTable:
    """A table of images with their masks.

    Attributes:
        url: Where it is.
        images: Its rows.
        masks: Those with a mask; the other images could not be used.
        dataset: Options of a data set that reads it.
    """

    url: str
    images: int
    masks: int
    dataset: dict[str, Any]


def write_mask_table(run_url: str, kind: str) -> MaskTable:
    """Write ``masks/<kind>.parquet`` of a finished run, ready to be the data set of another.

    Columns id, image, mask; where they are known label and attribute (names, or indices where
    there are no names), x0, y0, x1 and y1. Rows are in the plan's order.

    Args:
        run_url: A run with auxiliary images of this kind, whose masks are kept.
        kind: ``relevance`` or ``segment``.

    Raises:
        SeraserError: Masks are gone, and their shards are to be computed again.
    """
    directory = RunDirectory(run_url)
    run = directory.run()
    rows = _rows(directory, run)
    paths = [
        directory.mask_path(kind, index) if status == "ok" else None
        for index, status in rows.select("item_index", "status").iter_rows()
    ]
    _check_kept(directory, kind, {path for path in paths if path is not None})
    names = {"label": run["classes"], "attribute": run["attributes"]}
    table = rows.select(
        pl.col("item_id").alias("id"),
        "image",
        pl.Series("mask", paths, dtype=pl.String),
        *(_named(column, known) for column, known in names.items()),
        *(pl.col("box").list.get(i, null_on_oob=True).alias(side) for i, side in enumerate(_BOX)),
    )
    table = table.select(
        name for name in table.columns if name == "mask" or table[name].count()
    )  # without what is not known of any image
    data = io.BytesIO()
    table.write_parquet(data)
    url = directory.path("masks", f"{kind}.parquet")
    storage.write_bytes(url, data.getvalue())
    dataset = _dataset(parse_config(run["config"]), run, table.columns, url)
    return MaskTable(url, table.height, len(paths) - paths.count(None), dataset)


def _rows(directory: RunDirectory, run: dict[str, Any]) -> pl.DataFrame:
    """The planned items with the status of their rows."""
    of_one = scan(directory.url).filter(pl.col("method") == run["methods"][0]["id"])
    statuses: pl.DataFrame = of_one.select("item_index", "status").collect()
    columns = ["item_index", "item_id", "image", "label", "attribute", "box"]
    items = pl.DataFrame(directory.items().select(columns))
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
    raise SeraserError(f"{len(lost)} masks are gone; the same command makes them again")


def _dataset(
    config: RunConfig, run: dict[str, Any], columns: list[str], url: str
) -> dict[str, Any]:
    """The options of the run's own data set, for the table of its masks."""
    given = config.dataset
    options: dict[str, Any] = {"format": "table", "path": url, "id": "id", "image": "image"}
    options |= {name: name for name in ("mask", "label", "attribute") if name in columns}
    if _BOX[0] in columns:
        options["box"] = list(_BOX)
    options["classes"] = run["classes"]
    if run["attributes"] and "attribute" in columns:
        options["attributes"] = run["attributes"]
    options |= {"template": given.template, "allow_outside": True}
    kept = ("allow_empty_classes", "limits", "storage_options")
    return options | given.model_dump(mode="json", include=set(kept), exclude_defaults=True)


def _named(column: str, names: list[str]) -> pl.Expr:
    if not names:
        return pl.col(column).cast(pl.String)
    indices = pl.Series(range(len(names)), dtype=pl.Int32)
    return pl.col(column).replace_strict(
        indices, pl.Series(names, dtype=pl.String), default=None, return_dtype=pl.String
    )
