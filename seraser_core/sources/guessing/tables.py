"""Guesses from tables, and from files with one image per line."""

from __future__ import annotations

import polars as pl

from seraser_core import storage
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError, TransientError
from seraser_core.sources.decode import IMAGE_ENDINGS
from seraser_core.sources.guessing.boxes import tell_box
from seraser_core.sources.guessing.columns import guess_facts, image_column, is_path, path_columns
from seraser_core.sources.guessing.guess import Guess
from seraser_core.sources.shown import ending_of
from seraser_core.sources.table_file import read_table

_START = 1 << 16
_LOOKED_AT = 20


def guess_table(path: str) -> Guess:
    """Guess from a table: CSV, TSV, JSONL or Parquet with image paths.

    Raises:
        ConfigError: It cannot be read, or no column holds names of images.
    """
    rows, nested = _rows(path)
    image = image_column(path_columns(rows))
    if image is None:
        raise ConfigError(
            "DATA",
            path,
            f"no column holds names of images ({', '.join(IMAGE_ENDINGS[:4])}, ...) or URLs; "
            f"columns: {', '.join(rows.columns)}",
        )
    found = Guess({"format": "table", "path": path, "image": image})
    found.reasons.append(f"image: column {image!r}, whose cells are names or URLs of images")
    if is_path(image):
        found.todo.append("dataset.path: its first line seems to be an image; add one with names")
    guess_facts(found, rows)
    tell_box(found, nested)
    _look_for_files(found, rows[image], path)
    return found


def guess_lines(path: str) -> Guess | None:
    """Guess from a text file of names or URLs of images, one per line; None for others."""
    try:
        lines = storage.read_bytes(path)[:_START].decode("utf-8-sig", "replace").splitlines()[:-1]
    except (OSError, TransientError, ValueError, ImportError):
        return None
    texts = [line.strip() for line in lines[:_LOOKED_AT] if line.strip()]
    if not texts or not all(ending_of(t) in IMAGE_ENDINGS or "://" in t for t in texts):
        return None
    found = Guess({"format": "urls", "path": path})
    found.reasons.append("urls: its lines are names or URLs of images")
    found.without_classes()
    return found


def _rows(path: str) -> tuple[pl.DataFrame, list[str]]:
    """Read the columns of a table that hold texts or numbers, as texts; and name the others."""
    options = DatasetOptions(path=path, classes=["a", "b"])
    names = read_table(options, []).names
    once = [name for name in names if names.count(name) == 1]
    try:
        rows = read_table(options, once).rows
    except ConfigError:  # of JSON, a column with lists cannot be read at all
        flat = [name for name in once if _can_be_read(options, name)]
        if not flat:
            raise
        rows = read_table(options, flat).rows
    nested = [name for name in once if name not in rows or rows.schema[name].is_nested()]
    flat = [name for name in once if name not in nested]
    return rows.select(pl.col(flat).cast(pl.String, strict=False)), nested


def _can_be_read(options: DatasetOptions, column: str) -> bool:
    try:
        read_table(options, [column])
    except ConfigError:
        return False
    return True


def _look_for_files(found: Guess, images: pl.Series, path: str) -> None:
    """Say so if none of the first images is where the table says."""
    base = storage.local_path(storage.parent(path))
    first = images.drop_nulls().head(_LOOKED_AT).to_list()
    if base is None or any("://" in name for name in first):
        return
    if first and not any((base / name).exists() for name in first):
        found.todo.append(
            f"dataset.path: none of the first {len(first)} images is there, such as "
            f"{base / first[0]}; paths are relative to the table"
        )
