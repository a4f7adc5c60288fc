"""Planning a table of millions of rows: time and memory of the whole process."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import polars as pl
import pytest
from floors import FLOORS

pytestmark = pytest.mark.benchmark
FLOOR = FLOORS["planning"]
ROWS = FLOOR["rows"]

_PLAN = """
import json, sys, time

import psutil
from seraser_core.config import load_config
from seraser_core.runner.plan import plan_run

tree = json.loads(sys.argv[1])
before = psutil.Process().memory_info().rss
start = time.perf_counter()
plan_run(load_config(tree))
seconds = time.perf_counter() - start
sys.path.append(sys.argv[2])
import torch
from machine import peak_bytes

peak = peak_bytes(torch.device("cpu"))
added = peak - before
print(json.dumps({"seconds": seconds, "peak_gib": peak / 2**30, "added_gib": added / 2**30}))
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
    found = plan(tree, f"{ROWS} rows of {ending}")
    assert found["seconds"] < FLOOR["seconds"]
    assert found["peak_gib"] < FLOOR["gib"]


def test_listing_a_million_members_of_tars_once(tmp_path, tiny_json):
    floor = FLOORS["tars"]
    samples, content = floor["members"] // 20, b"x" * 4096
    for part in range(10):
        with tarfile.open(tmp_path / f"x-{part:06}.tar", "w", format=tarfile.PAX_FORMAT) as tar:
            for i in range(samples):
                for ending, data in (("jpg", content), ("cls", b"%d" % (i % 2))):
                    member = tarfile.TarInfo(f"{part * samples + i:09}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    tree = {
        "dataset": {
            "format": "webdataset",
            "path": f"{tmp_path}/x-{{000000..000009}}.tar",
            "classes": ["a landbird", "a waterbird"],
        },
        "methods": ["zero_shot"],
        "model": {"name": tiny_json, "pretrained": None, "device": "cpu"},
        "output": str(tmp_path / "runs"),
    }
    first = plan(tree, f"{floor['members']} members of tars")
    again = plan(tree | {"name": "again"}, "with the index that is there")
    assert first["seconds"] < floor["seconds"]
    assert first["added_gib"] < floor["gib"]
    assert again["seconds"] < first["seconds"] / floor["again"]


def plan(tree, what):
    """Seconds and peak memory of planning in a process of its own."""
    command = [sys.executable, "-c", _PLAN, json.dumps(tree), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    memory = f"{found['peak_gib']:.2f} GiB, {found['added_gib']:.2f} more"
    print(f"{what}: {found['seconds']:.1f} s, {memory}")
    return found
