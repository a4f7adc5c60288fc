"""A small data set with masks, and ways to run it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from seraser_core.config import load_config
from seraser_core.results.summary import aggregate
from seraser_core.runner.local import run_local
from seraser_core.runner.plan import plan_run

CLASSES = ["a camel", "a deer on the lake", "a red-billed oxpecker"]


def write_pictures(folder: Path, count: int = 14) -> Path:
    """Write `count` random pictures with masks and a table; returns the table."""
    rng = np.random.default_rng(11)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        width, height = (int(n) for n in rng.integers(30, 80, 2))
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        mask = np.zeros((height, width), dtype=np.uint8)
        mask[height // 4 : height // 2, width // 4 : -width // 4] = 255
        Image.fromarray(pixels).save(folder / f"picture {i:02}é.png")
        Image.fromarray(mask).save(folder / f"mask{i}.png")
        rows.append(
            {
                "id": f"item-{i:02}",
                "file": f"picture {i:02}é.png",
                "mask": f"mask{i}.png",
                "y": i % 3,
                "a": i % 2,
            }
        )
    table = folder / "metadata.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return table


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Table of a data set of 14 pictures."""
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def tree(pictures: Path, tiny_json: str, tmp_path: Path) -> dict[str, Any]:
    """A configuration tree over `pictures` with three shards and three methods."""
    return {
        "name": "small",
        "dataset": {
            "path": str(pictures),
            "id": "id",
            "image": "file",
            "label": "y",
            "attribute": "a",
            "mask": "mask",
            "classes": CLASSES,
            "attributes": ["land", "water"],
        },
        "model": {"name": tiny_json, "pretrained": None, "device": "cpu"},
        "methods": [
            "zero_shot",
            {"name": "seraser", "preset": "preserve", "lr": 0.005, "steps": 5},
            "foreground",
        ],
        "shard": {"max_items": 5},
        "output": str(tmp_path / "runs"),
        "save_logits": True,
    }


@pytest.fixture
def run() -> Callable[..., tuple[str, pl.DataFrame]]:
    """Plans and runs a tree with overrides; returns the run's URL and its rows in order."""

    def plan_and_run(tree: dict[str, Any], *overrides: str) -> tuple[str, pl.DataFrame]:
        url = plan_run(load_config(tree, overrides))
        run_local(url)
        aggregate(url)
        rows = pl.read_parquet(f"{url}/predictions/*.parquet")
        return url, rows.sort("item_id", "method")

    return plan_and_run
