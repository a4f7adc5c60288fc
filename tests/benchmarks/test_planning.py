"""Planning a table of millions of rows: time and memory of the whole process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from floors import FLOORS

pytestmark = pytest.mark.benchmark
FLOOR = FLOORS["planning"]
ROWS = FLOOR["rows"]

_PLAN = """
import json, sys, time
from seraser_core.config import load_config
from seraser_core.runner.plan import plan_run

tree = json.loads(sys.argv[1])
start = time.perf_counter()
plan_run(load_config(tree))
seconds = time.perf_counter() - start
sys.path.append(sys.argv[2])
import torch
from machine import peak_bytes

peak = peak_bytes(torch.device("cpu"))
print(json.dumps({"seconds": seconds, "peak_gib": peak / 2**30}))
"""


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_planning_millions_of_rows(tmp_path, tiny_json, ending):
    number = pl.int_range(ROWS)
    table = pl.select(
        file=pl.format("images/part-{}/{}.jpg", number // 5000, number),
        mask=pl.format("masks/part-{}/{}.png", number // 5000, number),
        y=number % 2,
        a=number // 2 % 2,
    ).sample(fraction=1, shuffle=True, seed=0)
    path = tmp_path / f"metadata.{ending}"
    table.write_csv(path) if ending == "csv" else table.write_parquet(path)
    tree = {
        "dataset": {
            "path": str(path),
            "image": "file",
            "mask": "mask",
            "label": "y",
            "attribute": "a",
            "classes": ["a landbird", "a waterbird"],
        },
        "model": {"name": tiny_json, "pretrained": None, "device": "cpu"},
        "output": str(tmp_path / "runs"),
    }
    command = [sys.executable, "-c", _PLAN, json.dumps(tree), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{ROWS} rows of {ending}: {found['seconds']:.1f} s, {found['peak_gib']:.2f} GiB")
    assert found["seconds"] < FLOOR["seconds"]
    assert found["peak_gib"] < FLOOR["gib"]
