"""Processor time of a picture from its file to a batch, over that of Pillow's own part of it."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from feed import measure, session_of, write_pictures
from floors import FLOORS
from PIL import Image

pytestmark = pytest.mark.benchmark
IMAGES, SIDE, THREADS, REPEATS = 1000, 64, 16, 5
FLOOR = FLOORS["preparing"]


def test_small_pictures_cost_little_beside_what_pillow_does(tmp_path):
    table = write_pictures(tmp_path, IMAGES, SIDE)
    session = session_of(table, "seraser", THREADS, tmp_path / "runs")
    size = session.model.preprocessing.size[::-1]
    files = [Path(tmp_path, name).read_bytes() for name in ("0.jpg", "0.png")]

    def pillow() -> float:
        start = time.thread_time()
        for _ in range(IMAGES):
            image, mask = (Image.open(io.BytesIO(data)) for data in files)
            mask.load()
            for _ in session.views:
                image.resize(size, Image.Resampling.BICUBIC)
        return (time.thread_time() - start) / IMAGES

    alone = min(pillow() for _ in range(REPEATS))
    whole, ours = (
        measure(session, case, IMAGES // 2, REPEATS)["cpu_s"] for case in ("whole", "sampled")
    )
    print(
        f"Pillow {alone * 1e3:.2f} ms, the feed {whole * 1e3:.2f} ms, "
        f"without decoding and views {ours * 1e3:.2f} ms"
    )
    assert whole <= FLOOR["over_pillow"] * alone
    assert ours <= FLOOR["without_pillow"] * alone
