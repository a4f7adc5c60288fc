"""Images for which the model gives no numbers: rows of their own, and all others are the same."""

from __future__ import annotations

import base64
import io
import shutil

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from polars.testing import assert_frame_equal

from seraser_core.config.options import ModelOptions
from seraser_core.methods.seraser import Seraser
from seraser_core.models.clip_model import get_model
from seraser_core.results.counted import CountedRun
from seraser_core.results.reading import read_report
from seraser_core.results.samples import failed_pictures_of, read_samples
from seraser_core.results.shards import RunDirectory
from seraser_core.results.summary import aggregate
from seraser_core.results.verify import verify

BAD = 6


@pytest.fixture
def fails_on_white(tree):
    """The model gives NaN (or infinity) for white pictures, as an overflowing one would."""
    values = []

    def hook(_, inputs, features):
        pixels = inputs[0].flatten(2)
        white = (pixels == pixels[..., :1]).all(-1).all(-1) & (pixels > 1).all(-1).all(-1)
        return torch.where(white[:, None, None, None], values[0], features)

    patches = get_model(ModelOptions(**tree["model"])).net.visual.conv1
    handle = patches.register_forward_hook(hook)
    yield values.append
    handle.remove()


@pytest.mark.parametrize("loss", ["loss_first", "loss_last"])
def test_an_image_whose_loss_is_not_finite_is_an_error_row_of_that_method(
    run, tree, monkeypatch, loss
):
    tree["methods"] = ["zero_shot", {"name": "seraser", "steps": 1}]
    whole = Seraser.predict

    def predict(self, features):
        scores = whole(self, features)
        getattr(scores, loss)[0] = torch.nan
        return scores

    monkeypatch.setattr(Seraser, "predict", predict)
    url, rows = run(tree, "shard.max_items=100")
    bad = rows.filter(pl.col("status") == "error")
    assert bad.select("item_id", "method", "error_code").rows() == [
        ("item-00", "seraser", "nan_output")
    ]
    assert bad["prediction"].is_null().all()
    assert verify(url).problems == []
    good = rows.filter((pl.col("method") == "seraser") & (pl.col("status") == "ok"))
    sums = RunDirectory(url).commits()["00000"].methods["seraser"]
    p = good.select(
        pl.col("logits").list.eval(pl.element() - pl.element().exp().sum().log()),
        pl.col("label"),
    ).select(pl.col("logits").list.get(pl.col("label")))
    assert sums.figures()["nll"] == pytest.approx(-p["logits"].sum(), rel=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_image_without_finite_logits_is_an_error_row_and_in_no_metric(
    run, tree, pictures, tmp_path, fails_on_white, value
):
    tree["methods"] += [
        "tda",
        {"id": "grown", "name": "seraser", "auxiliary": "augment", "steps": 2},
        {"name": "tie", "contexts": ["a photo of snow"], "pool": {"sample": 100}},
    ]
    folder = tmp_path / "data"
    shutil.copytree(pictures.parent, folder)
    tree["dataset"]["path"] = str(folder / "metadata.csv")
    fails_on_white(value)
    without = pl.read_csv(folder / "metadata.csv").filter(pl.col("id") != f"item-{BAD:02}")
    without.write_csv(folder / "without.csv")
    tree["shard"] = {"max_items": 100}
    _, expected = run(tree, f"dataset.path={folder / 'without.csv'}", "name=without")
    white = np.full((40, 40, 3), 255, dtype=np.uint8)
    Image.fromarray(white).save(folder / f"picture {BAD:02}é.png")
    Image.fromarray(white[..., 0]).save(folder / f"mask{BAD}.png")
    url, rows = run(tree)
    bad = rows.filter(pl.col("item_id") == f"item-{BAD:02}")
    assert set(bad["error_code"]) == {"nan_output"}
    assert set(bad["error_stage"]) == {"infer"}
    assert bad["prediction"].is_null().all()
    good = rows.filter(pl.col("item_id") != f"item-{BAD:02}")
    same = ["item_id", "method", "prediction", "logits", "loss_first", "loss_last"]
    assert_frame_equal(good.select(same), expected.select(same), rel_tol=1e-4, abs_tol=1e-4)
    assert verify(url).problems == []
    aggregate(url)
    summary = read_report(url, "summary")
    assert set(summary["errors"]) == {1}
    directory = RunDirectory(url)
    (shown,) = failed_pictures_of(read_samples([CountedRun(directory, directory.states())]))
    assert (shown.item_index, shown.code) == (BAD, "nan_output")
    picture = Image.open(io.BytesIO(base64.b64decode(shown.webp)))
    assert np.asarray(picture).min() > 250
    for name in ("accuracy", "nll", "brier"):
        assert summary[name].is_finite().all()
