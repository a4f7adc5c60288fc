"""The demo's run: its data set, its model and the methods it compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seraser_core.demo.dataset import SHORTCUT, SPLITS, TEMPLATE, Task

_MODEL_FOLDER = Path(__file__).parent / "model"
MODEL_JSON = _MODEL_FOLDER / "seraser-demo.json"
WEIGHTS = _MODEL_FOLDER / "seraser-demo.safetensors"
SERASER = {"preset": "paper", "lr": 2e-2, "steps": 20}
"""Chosen on validation pictures; see model/README.md."""


def demo_config(
    data: str, output: str, name: str = "demo", task: Task = SHORTCUT
) -> dict[str, Any]:
    """The demo's run config, as YAML would give it.

    Args:
        data: Path or URL of the metadata.csv that `write_dataset` wrote.
        output: Folder or URL for the run directory.
        name: First part of the run id.
        task: Task that `data` shows.
    """
    return {
        "name": name,
        "dataset": {
            "format": "table",
            "path": data,
            "id": "id",
            "image": "filename",
            "mask": "mask",
            "label": "y",
            "attribute": "a",
            "split": {"column": "split", "values": [SPLITS["test"]]},
            "classes": list(task.classes),
            "attributes": list(task.attributes),
            "template": TEMPLATE,
        },
        # What SEraser does here was chosen in fp32, see model/README.md.
        "model": {"name": str(MODEL_JSON), "pretrained": str(WEIGHTS), "precision": "fp32"},
        "methods": [
            {"name": "zero_shot"},
            {"name": "seraser", "id": "seraser", **SERASER},
            {"name": "foreground"},
        ],
        "output": output,
        "shard": {"max_items": 120},
    }
