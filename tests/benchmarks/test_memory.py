"""Memory of a run does not grow with its images, beyond what the rows of one shard take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from floors import FLOORS
from PIL import Image

from seraser_core.config import load_config
from seraser_core.results.status import status
from seraser_core.runner.plan import plan_run

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]
_PICTURES, _SIDE = 50, 64
_FEW, _MANY = 2_000, 20_000
_RUN = """
import sys
from seraser_core.runner.missing_shards import run_local

run_local(sys.argv[1])
sys.path.append(sys.argv[2])
import torch
from machine import peak_bytes

print(peak_bytes(torch.device("cpu")))
"""


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Folder of a few pictures with masks."""
    rng = np.random.default_rng(0)
    mask = np.zeros((_SIDE, _SIDE), dtype=np.uint8)
    mask[16:48, 16:48] = 255
    for i in range(_PICTURES):
        pixels = rng.integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        Image.fromarray(mask).save(tmp_path / f"mask{i}.png")
    return tmp_path


def run_in_fresh_process(folder: Path, model: str, images: int, shard: int) -> int:
    """Peak bytes of a process that computes a run of `images` rows."""
    number = pl.int_range(images)
    table = folder / f"{images}-{shard}.csv"
    pl.select(
        id=pl.format("item-{}", number),
        image=pl.format("{}.png", number % _PICTURES),
        mask=pl.format("mask{}.png", number % _PICTURES),
        y=number % 2,
    ).write_csv(table)
    tree = {
        "dataset": {
            "path": str(table),
            "id": "id",
            "mask": "mask",
            "label": "y",
            "classes": ["a landbird", "a waterbird"],
        },
        "model": {"name": model, "pretrained": None, "device": "cpu"},
        "methods": [{"name": "seraser", "steps": 1}],
        "shard": {"max_items": shard},
        "output": str(folder / "runs"),
    }
    url = plan_run(load_config(tree))
    command = [sys.executable, "-c", _RUN, url, str(Path(__file__).parent)]
    # Every thread has an arena of the allocator, which fills up at a pace of its own: with two of
    # them the peak is that of the images.
    environment = os.environ | {"MALLOC_ARENA_MAX": "2"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    assert status(url)["rows"] == images
    assert status(url)["errors"] == {}
    return int(done.stdout.splitlines()[-1])


def test_memory_is_flat_in_the_number_of_images(pictures, tiny_json):
    peaks = [run_in_fresh_process(pictures, tiny_json, n, shard=_FEW // 2) for n in (_FEW, _MANY)]
    growth = (peaks[1] - peaks[0]) / 2**20
    print(f"{_FEW} images {peaks[0] / 2**20:.0f} MiB, {_MANY} images {growth:+.1f} MiB")
    assert growth <= FLOORS["memory"]["growth_mib"]


def test_memory_of_one_shard_is_that_of_its_rows(pictures, tiny_json):
    peaks = [run_in_fresh_process(pictures, tiny_json, n, shard=n) for n in (_FEW, _MANY)]
    growth = (peaks[1] - peaks[0]) / (_MANY - _FEW) / 2**10
    print(f"{growth:.1f} KiB for each further row of a shard")
    assert growth <= FLOORS["memory"]["shard_row_kib"]
