"""Guesses from tars and from Parquet files that hold images."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from seraser_core import storage
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError, TransientError
from seraser_core.sources.cells import is_picture
from seraser_core.sources.decode import IMAGE_ENDINGS
from seraser_core.sources.guessing.boxes import tell_box
from seraser_core.sources.guessing.columns import guess_facts, image_column, is_mask
from seraser_core.sources.guessing.guess import Guess
from seraser_core.sources.json_text import parse, to_text
from seraser_core.sources.parquet import label_features
from seraser_core.sources.patterns import expand
from seraser_core.sources.table_file import PARQUET_ENDINGS
from seraser_core.sources.tar import TEXT_ENDINGS, index_tar

_MASK = "mask.png"


def guess_tars(path: str) -> Guess:
    """Guess from WebDataset's tars.

    Raises:
        ConfigError: They cannot be read.
    """
    options = DatasetOptions(format="webdataset", path=path, classes=["a", "b"])
    tars = list(expand(options, [".tar"], []))
    members = pl.concat(index_tar(tar, {}, "").members for tar in tars)
    endings = members["ending"].value_counts(sort=True)["ending"].to_list()
    found = Guess({"format": "webdataset", "path": path})
    found.reasons.append(f"webdataset: {len(tars)} tars with members {', '.join(endings[:6])}")
    images = [one for one in endings if f".{one}" in IMAGE_ENDINGS]
    if len(images) > 1:
        found.dataset["image"] = images[0]
        found.reasons.append(f"image: members .{images[0]}, which are the most")
    facts = Guess({"image": "image"})
    guess_facts(facts, _samples(members), ids=False)
    found.reasons += [line for line in facts.reasons if not line.startswith(("split", "box"))]
    found.todo += [line for line in facts.todo if not line.startswith("dataset.box")]
    kept = ("label", "classes", "attribute", "attributes")
    found.dataset |= {name: facts.dataset[name] for name in kept if name in facts.dataset}
    if _MASK in endings:
        found.dataset["mask"] = _MASK
        found.reasons.append(f"mask: members .{_MASK}")
    return found


def _samples(members: pl.DataFrame) -> pl.DataFrame:
    """Return what the texts of the samples say: members cls and txt, and the fields of json."""
    rows: list[dict[str, str | None]] = []
    texts = members.filter(pl.col("ending").is_in(TEXT_ENDINGS), pl.col("text").is_not_null())
    for _, of_key in texts.group_by("key", maintain_order=True):
        row: dict[str, str | None] = {}
        for ending, text in of_key.select("ending", "text").iter_rows():
            row |= _fields(text) if ending == "json" else {ending: text.strip()}
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None).cast(pl.String) if rows else pl.DataFrame()


def _fields(text: str) -> dict[str, str | None]:
    try:
        document: Any = parse(text)
    except ValueError:
        return {}
    fields = {}
    for name, value in document.items() if isinstance(document, dict) else ():
        try:
            fields[str(name)] = to_text(value)
        except (TypeError, ValueError):
            continue
    return fields


def has_pictures(path: str) -> bool:
    """Return whether the first of some Parquet files has a column of pictures."""
    return bool(_pictures(_schema(_first(path))))


def guess_parquet(path: str) -> Guess:
    """Guess from Parquet files with images as bytes; from others, as from a table.

    Raises:
        ConfigError: They cannot be read.
    """
    from seraser_core.sources.guessing.tables import guess_table

    schema = _schema(_first(path))
    pictures = _pictures(schema)
    if not pictures:
        return guess_table(path)
    image = image_column(pictures)
    found = Guess({"format": "parquet", "path": path, "image": image})
    found.reasons.append(f"image: column {image!r}, whose cells hold pictures")
    names = [field.name for field in schema if not pa.types.is_nested(field.type)]
    texts = [name for name in names if name not in pictures]
    rows = pl.concat((_read(url, texts) for url in _files(path)), how="vertical_relaxed")
    guess_facts(found, rows.select(pl.all().cast(pl.String, strict=False)))
    tell_box(found, [field.name for field in schema if pa.types.is_nested(field.type)])
    features = label_features(schema)
    if features.get(found.dataset.get("label", "")):
        del found.dataset["classes"]
        found.todo = [line for line in found.todo if not line.startswith("dataset.classes")]
        found.reasons.append("classes: the names that the file itself records")
    masks = [name for name in pictures if is_mask(name) and name != image]
    if masks:
        found.dataset["mask"] = masks[0]
        found.reasons.append(f"mask: column {masks[0]!r}, by its name")
    return found


def _files(path: str) -> list[str]:
    options = DatasetOptions(format="parquet", path=path)
    return list(expand(options, PARQUET_ENDINGS, []))


def _first(path: str) -> str:
    return _files(path)[0]


def _pictures(schema: pa.Schema) -> list[str]:
    return [
        field.name
        for field in schema
        if is_picture(field.type) and not pa.types.is_null(field.type)
    ]


def _schema(url: str) -> pa.Schema:
    try:
        with storage.open_file(url) as opened:
            return pq.ParquetFile(opened).schema_arrow
    except (pa.ArrowException, TransientError, OSError, ValueError, ImportError) as error:
        raise ConfigError("DATA", url, f"cannot be read as Parquet: {str(error)[:300]}") from None


def _read(url: str, names: list[str]) -> pl.DataFrame:
    with storage.open_file(url) as opened:
        return pl.DataFrame(pq.ParquetFile(opened).read(columns=names).select(names))
