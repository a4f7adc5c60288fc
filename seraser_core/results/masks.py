"""The table that makes a data set's mask column of the masks that a run has kept."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import polars as pl

from seraser_core import storage
from seraser_core.results.reading import scan
from seraser_core.results.run_directory import RunDirectory


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
    """Write ``masks/<kind>.parquet`` of a finished run: id, image, label, attribute, mask.

    Labels and attributes are names. Rows are in the plan's order.

    Args:
        run_url: A run with auxiliary images of this kind, whose masks are kept.
        kind: ``relevance`` or ``segment``.
    """
    directory = RunDirectory(run_url)
    run = directory.run()
    columns = ("item_index", "item_id", "image", "label", "attribute", "status")
    of_one = scan(run_url).filter(pl.col("method") == run["methods"][0]["id"])
    rows: pl.DataFrame = of_one.select(columns).sort("item_index").collect()
    paths = [
        directory.mask_path(kind, index) if status == "ok" else None
        for index, status in rows.select("item_index", "status").iter_rows()
    ]
    names = {"label": run["classes"], "attribute": run["attributes"]}
    table = rows.select(
        pl.col("item_id").alias("id"),
        "image",
        *(_named(column, known) for column, known in names.items()),
        pl.Series("mask", paths, dtype=pl.String),
    )
    data = io.BytesIO()
    table.write_parquet(data)
    url = directory.path("masks", f"{kind}.parquet")
    storage.write_bytes(url, data.getvalue())
    dataset: dict[str, Any] = {
        "format": "table",
        "path": url,
        "id": "id",
        "image": "image",
        "mask": "mask",
    }
    dataset |= {column: column for column in names if table[column].null_count() < table.height}
    dataset |= {"classes": run["classes"], "template": run["config"]["dataset"]["template"]}
    if "attribute" in dataset:
        dataset["attributes"] = run["attributes"]
    dataset["allow_outside"] = True
    if options := run["config"]["dataset"]["storage_options"]:
        dataset["storage_options"] = options
    return MaskTable(url, table.height, len(paths) - paths.count(None), dataset)


def _named(column: str, names: list[str]) -> pl.Expr:
    indices = pl.Series(range(len(names)), dtype=pl.Int32)
    return pl.col(column).replace_strict(
        indices, pl.Series(names, dtype=pl.String), default=None, return_dtype=pl.String
    )
