"""The columns of a table that hold foreground boxes."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from seraser_core.sources.guessing.guess import Guess
from seraser_core.sources.guessing.names import plain

_CORNERS = (
    ("x1", "y1", "x2", "y2"),
    ("x0", "y0", "x1", "y1"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("left", "top", "right", "bottom"),
)
_LENGTHS = (
    ("x", "y", "w", "h"),
    ("x", "y", "width", "height"),
    ("left", "top", "width", "height"),
)
_WHOLE = ("bbox", "box", "bounding_box", "boundingbox")
_PREFIXES = ("", "bbox", "box")


def guess_box(found: Guess, rows: pl.DataFrame, facts: Sequence[str]) -> None:
    """Add the four columns of a box, or say how a single one becomes four.

    Args:
        found: The guess.
        rows: Columns of texts.
        facts: Columns that hold no paths.
    """
    columns = {plain(name).replace("_", ""): name for name in reversed(facts)}
    for form, kinds in (("xyxy", _CORNERS), ("xywh", _LENGTHS)):
        for names in [[f"{prefix}{n}" for n in kind] for prefix in _PREFIXES for kind in kinds]:
            box = [columns[name] for name in names if name in columns]
            numbers = rows.select(pl.col(box).cast(pl.Float64, strict=False)).drop_nulls()
            if len(box) < len(names) or not numbers.height:
                continue
            if form == "xyxy" and numbers.select(pl.max_horizontal(pl.all()).max()).item() <= 1:
                form = "fractions"
            found.dataset |= {"box": box} | ({"box_format": form} if form != "xyxy" else {})
            shown = ", ".join(map(repr, box))
            found.reasons.append(f"box: columns {shown}, by their names ({form})")
            return
    tell_box(found, facts)


def tell_box(found: Guess, names: Sequence[str]) -> None:
    """Say how a column of whole boxes becomes four, unless there is a box.

    Args:
        found: The guess.
        names: Columns.
    """
    name = next((name for name in names if plain(name) in _WHOLE), None)
    if name is not None and "box" not in found.dataset:
        found.todo.append(
            f"dataset.box: column {name!r} is not used; write its numbers into four columns, "
            "left, top, right and bottom, and name those in dataset.box"
        )
