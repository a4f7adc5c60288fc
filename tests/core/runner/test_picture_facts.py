"""Statistics of pictures and foregrounds that a run records and prints at its end."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seraser_core.results.status import status
from seraser_core.results.summary import aggregate
from seraser_core.runner.retry import Retry

SIZE = (40, 50)
ROWS = range(2, 22)


@pytest.fixture
def odd(tree, tmp_path):
    """Five pictures: two almost constant, one bad, one whose mask is empty; with boxes."""
    folder = tmp_path / "odd"
    folder.mkdir()
    rng = np.random.default_rng(6)
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "mask", "y", "x0", "y0", "x1", "y1"])
        for i in range(5):
            pixels = rng.integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
            pixels = pixels // 64 + 100 if i < 2 else pixels
            mask = np.zeros(SIZE[::-1], np.uint8)
            mask[ROWS.start : ROWS.stop] = 255 if i != 3 else 0
            Image.fromarray(pixels).save(folder / f"{i}.png")
            Image.fromarray(mask).save(folder / f"m{i}.png")
            writer.writerow([f"{i}.png", f"m{i}.png", i % 3, 0, 0, 10, 10])
    (folder / "2.png").write_bytes(b"no picture")
    dataset = {
        "path": str(folder / "table.csv"),
        "image": "file",
        "label": "y",
        "mask": "mask",
        "box": ["x0", "y0", "x1", "y1"],
        "classes": tree["dataset"]["classes"],
    }
    methods = [
        {"id": "by-mask", "name": "foreground", "auxiliary": "mask"},
        {"id": "by-box", "name": "foreground", "auxiliary": "box"},
    ]
    return {**tree, "dataset": dataset, "methods": methods, "shard": {"max_items": 2}}


def seen(mask_shares, images, constant):
    boxed = {"images": images, "mean_share": 0.05, "nowhere": 0, "everywhere": 0}
    masked = {
        "images": images,
        "mean_share": sum(mask_shares) / images,
        "nowhere": mask_shares.count(0),
        "everywhere": 0,
    }
    foregrounds = {"box": boxed, "mask": masked}
    return {"images": images, "almost_constant": constant, "foregrounds": foregrounds}


def assert_same(found, expected):
    for kind, sums in expected["foregrounds"].items():
        assert found["foregrounds"][kind] == pytest.approx(sums)
    assert {**found, "foregrounds": {}} == {**expected, "foregrounds": {}}


def test_a_run_counts_its_pictures_also_those_that_are_retried(run, odd):
    share = len(ROWS) / SIZE[1]
    url, _ = run(odd)
    aggregate(url)
    assert_same(status(url)["pictures"], seen([share, share, 0, share], 4, 2))
    warnings = status(url)["warnings"]
    assert len(warnings) == 1
    assert warnings[0].startswith("2 of 4 pictures are almost of one colour")
    page = Path(url, "report", "report.html").read_text()
    assert warnings[0] in page
    masked = r'<th scope="row">mask</th><td class="n">4</td><td class="n">30\.0 %'
    assert re.search(masked, page)
    Image.fromarray(np.full((*SIZE[::-1], 3), 7, np.uint8)).save(
        Path(odd["dataset"]["path"]).parent / "2.png"
    )
    retry = Retry()
    for shard in retry.shards(url):
        retry(url, shard.id)
    aggregate(url)
    assert_same(status(url)["pictures"], seen([share, share, 0, share, share], 5, 3))


def test_relevance_counts_its_foregrounds(run, tree):
    url, _ = run({**tree, "methods": [{"name": "foreground", "auxiliary": "relevance"}]})
    (found,) = status(url)["pictures"]["foregrounds"].items()
    assert found[0] == "relevance"
    assert found[1]["images"] == 14
    assert 0 < found[1]["mean_share"] < 1
