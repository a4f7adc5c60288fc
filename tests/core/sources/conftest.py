"""Ways to write small data sets and to plan them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from seraser_core.config import load_config
from seraser_core.sources.planner import PlannedItems, plan_items


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """Encodes an image, or an array, in a format of Pillow."""

    def to_bytes(image: Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
        buffer = io.BytesIO()
        (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(
            buffer, kind, **options
        )
        return buffer.getvalue()

    return to_bytes


@pytest.fixture
def table() -> pl.DataFrame:
    """Six rows of two classes and two attributes, out of order."""
    return pl.DataFrame(
        {
            "id": ["f", "b", "é", "a", "Z", "c"],
            "file": ["f.png", "b b.png", "é.png", "sub/a.png", "Z.png", "c.png"],
            "y": [0, 1, 0, 1, 0, 1],
            "a": [1, 1, 0, 0, 1, 0],
            "mask": ["m/f.png", None, "m/é.png", "m/a.png", "m/Z.png", "m/c.png"],
            "part": [2, 2, 2, 2, 0, 1],
            "x0": [0.0, 1.0, 2.0, 3.0, 4.0, None],
            "y0": [0, 1, 2, 3, 4, 5],
            "x1": [9.5, 9.0, 9.0, 9.0, 9.0, 9.0],
            "y1": [9, 9, 9, 9, 9, 9],
        }
    )


@pytest.fixture
def plan(tmp_path: Path, table: pl.DataFrame) -> Callable[..., PlannedItems]:
    """Plans `table`, or another one, with overrides of the dataset's options."""

    def write_and_plan(
        frame: pl.DataFrame | None = None,
        methods: list[Any] | None = None,
        shard: dict[str, Any] | None = None,
        report: Callable[[str], None] | None = None,
        **dataset: Any,
    ) -> PlannedItems:
        path = tmp_path / "data" / "table.csv"
        path.parent.mkdir(exist_ok=True)
        (table if frame is None else frame).write_csv(path)
        options = {
            "path": str(path),
            "id": "id",
            "image": "file",
            "label": "y",
            "classes": ["a camel", "a deer"],
        }
        tree = {
            "dataset": {k: v for k, v in {**options, **dataset}.items() if v is not None},
            "methods": methods or ["zero_shot"],
            "shard": shard or {},
        }
        return plan_items(load_config(tree), report)

    return write_and_plan
