"""Files to Parquet against the engine alone, on 64 pictures of 512 pixels with masks on disk."""

from __future__ import annotations

import time
from itertools import pairwise
from statistics import mean, median

import numpy as np
import polars as pl
import pytest
from floors import FLOORS
from inputs import photograph
from PIL import Image

from seraser_core.config import load_config
from seraser_core.results.status import status
from seraser_core.runner.attempt import Attempt
from seraser_core.runner.feed import Feed
from seraser_core.runner.infer import batch_size, encode_views, score
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run
from seraser_core.runner.session import open_session

pytestmark = pytest.mark.benchmark
IMAGES, SIDE, TURNS = 64, 512, 5


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(IMAGES):
        photograph(rng, (SIDE, SIDE)).save(tmp_path / f"{i}.jpg", quality=92)
        mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
        mask[100:400, 150:350] = 255
        Image.fromarray(mask).save(tmp_path / f"mask{i}.png")
        rows.append({"image": f"{i}.jpg", "mask": f"mask{i}.png", "y": i % 2})
    path = tmp_path / "metadata.csv"
    pl.DataFrame(rows).write_csv(path)
    return path


def test_files_to_parquet_cost_little_beside_the_engine(table, tmp_path):
    def plan(number: int) -> str:
        tree = {
            "dataset": {
                "path": str(table),
                "mask": "mask",
                "label": "y",
                "classes": ["a landbird", "a waterbird"],
            },
            "model": {"name": "ViT-B-32", "pretrained": None},
            "output": str(tmp_path / f"runs{number}"),
        }
        return plan_run(load_config(tree))

    def engine(url: str) -> float:
        session = open_session(url)
        items = session.images.items(np.arange(session.images.count))
        with Feed(session, items, batch_size(session), Attempt()) as feed:
            batches = list(feed)
        start = time.perf_counter()
        for batch in batches:
            score(session, encode_views(session, batch.views), session.methods)
        return time.perf_counter() - start

    def files_to_parquet(url: str) -> float:
        # Words that name surroundings are encoded once per run, as long as 100 images take.
        open_session(url).words_kept = True
        run_local(url)
        seconds = status(url)["seconds"]
        print({name: round(value, 2) for name, value in seconds.items()})
        return seconds["wall"] - seconds["load"]

    engine(plan(0))  # warm
    # In turns: how fast the machine is changes from minute to minute.
    alone, whole = [engine(plan(1))], []
    for turn in range(TURNS):
        whole.append(files_to_parquet(plan(2 + turn)))
        alone.append(engine(plan(1)))
    pairs = zip(whole, pairwise(alone), strict=True)
    ratio = median(files / mean(beside) for files, beside in pairs)
    print("engine", *(f"{x:.2f}" for x in alone), "files to Parquet", *(f"{x:.2f}" for x in whole))
    print(f"files to Parquet over the engine: {ratio - 1:+.1%}")
    assert ratio <= FLOORS["end_to_end"]["over_engine"]
