"""Planning a table of two million rows: time and memory of the whole process."""

from __future__ import annotations

import json
import subprocess
import sys

import polars as pl
import pytest

pytestmark = pytest.mark.benchmark
ROWS = 2_000_000

_PLAN = """
import json, resource, sys, time
from seraser_core.config import load_config
from seraser_core.runner.plan import plan_run

tree = json.loads(sys.argv[1])
start = time.perf_counter()
plan_run(load_config(tree))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps({"seconds": time.perf_counter() - start, "peak_gib": peak}))
"""


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_planning_two_million_rows(tmp_path, tiny_json, ending):
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
    done = subprocess.run(
        [sys.executable, "-c", _PLAN, json.dumps(tree)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{ROWS} rows of {ending}: {found['seconds']:.1f} s, {found['peak_gib']:.2f} GiB")
    assert found["seconds"] < 60
    assert found["peak_gib"] < 2
