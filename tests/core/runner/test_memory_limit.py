"""A run under a memory limit, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from PIL import Image

from seraser_core.config import load_config
from seraser_core.results.verify import verify
from seraser_core.runner.plan import plan_run

IMAGES, SIDE = 100, 2500
ROOM = 600 * 2**20
"""A third of what the decoded images take."""
SCRIPT = """
import resource, sys
import torch
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.session import open_session
torch.set_num_threads(1)
open_session(sys.argv[1])
used = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
limit = used + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
run_local(sys.argv[1])
"""


@pytest.mark.slow
def test_many_large_images_do_not_need_the_memory_of_all(tree, tmp_path):
    pixels = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    assert IMAGES * pixels.nbytes > 2.9 * ROOM
    Image.fromarray(pixels).save(tmp_path / "large.png", compress_level=1)
    rows = [{"id": f"{i:03}", "file": "large.png", "y": i % 3} for i in range(IMAGES)]
    pl.DataFrame(rows).write_csv(tmp_path / "t.csv")
    tree["dataset"] |= {"path": str(tmp_path / "t.csv"), "attribute": None, "mask": None}
    tree |= {"methods": ["zero_shot"], "shard": {"max_items": IMAGES}}
    url = plan_run(load_config(tree, ["runtime.retries=0", "runtime.decode_threads=4"]))
    subprocess.run([sys.executable, "-c", SCRIPT, url, str(ROOM)], check=True, timeout=300)
    report = verify(url)
    assert report.problems == []
    rows = pl.read_parquet(f"{url}/predictions/*.parquet")
    assert set(rows["status"]) == {"ok"}
