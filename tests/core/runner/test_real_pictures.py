"""Real pictures through a model of real size (random weights), on a local disk and on S3."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import polars as pl
import pytest
import s3fs

from seraser_core.results.verify import verify

CAMEL_DEER = Path(__file__).parents[4] / "shared" / "data" / "camel_deer"


@pytest.fixture
def tree(tmp_path):
    if not CAMEL_DEER.is_dir():
        pytest.skip("the camel_deer pictures are not here")
    data = tmp_path / "camel_deer"
    shutil.copytree(CAMEL_DEER, data)
    table = data / "metadata.csv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *rows[:2], *rows[-2:]]))  # of ten, to save time
    return {
        "name": "camel-deer",
        "dataset": {
            "path": str(table),
            "image": "filename",
            "label": "y",
            "attribute": "a",
            "mask": "mask",
            "split": {"column": "split", "values": [2]},
            "classes": ["a camel", "a deer"],
            "attributes": ["desert", "grassland"],
        },
        "model": {"name": "ViT-B-32", "pretrained": None, "device": "cpu"},
        "methods": [
            "zero_shot",
            {"id": "mask", "name": "seraser", "auxiliary": "mask", "steps": 2},
            {"id": "augment", "name": "seraser", "auxiliary": "augment", "steps": 2},
            "foreground",
        ],
        "output": str(tmp_path / "runs"),
        "save_logits": True,
    }


@pytest.mark.slow
def test_real_pictures_give_the_same_rows_from_disk_and_s3(tree, run, bucket, caplog):
    with caplog.at_level(logging.WARNING):
        url, local = run(tree)
    assert "RANDOM WEIGHTS" in caplog.text
    assert local.height == 4 * 4
    assert set(local["status"]) == {"ok"}
    tuned = local.filter(pl.col("method").is_in(["mask", "augment"]))
    assert (tuned["loss_last"] < tuned["loss_first"]).mean() > 0.9
    assert verify(url).problems == []

    data = Path(tree["dataset"]["path"]).parent
    s3fs.S3FileSystem().put(f"{data}/", f"{bucket}/camel_deer/", recursive=True)
    remote_url, remote = run(
        tree,
        f"dataset.path={bucket}/camel_deer/metadata.csv",
        f"output={bucket}/runs",
    )
    assert verify(remote_url).problems == []
    same = ["item_id", "method", "prediction", "logits", "loss_first", "loss_last"]
    assert remote.select(same).equals(local.select(same))
