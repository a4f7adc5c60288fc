"""Return what `status` says of the time agrees with timers around the functions that take it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from floors import FLOORS
from PIL import Image

from seraser_core.config import load_config
from seraser_core.methods.seraser import Seraser
from seraser_core.models.clip_model import ClipModel
from seraser_core.results.status import status
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run
from seraser_core.runner.session import open_session

pytestmark = pytest.mark.benchmark
_MIDDLING_CLIP = {
    "embed_dim": 256,
    "vision_cfg": {"image_size": 224, "layers": 6, "width": 384, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 256, "heads": 4, "layers": 6},
}


def plan(folder: Path, model: str, images: int, side: int) -> str:
    """A planned run over `images` rows of one large picture."""
    pixels = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((side, side)).save(folder / "picture.jpg", quality=92)
    mask = np.zeros((side, side), dtype=np.uint8)
    mask[side // 4 : side // 2, side // 4 : side // 2] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    rows = [
        {"id": str(i), "image": "picture.jpg", "mask": "mask.png", "y": i % 2}
        for i in range(images)
    ]
    pl.DataFrame(rows).write_csv(folder / "metadata.csv")
    tree = {
        "dataset": {
            "path": str(folder / "metadata.csv"),
            "id": "id",
            "mask": "mask",
            "label": "y",
            "classes": ["a landbird", "a waterbird"],
        },
        "model": {"name": model, "pretrained": None, "device": "cpu"},
        "methods": ["seraser"],
        "output": str(folder / "runs"),
    }
    return plan_run(load_config(tree))


@pytest.fixture
def timed(monkeypatch) -> Counter[str]:
    """Seconds in the image tower and in the method."""
    found: Counter[str] = Counter()

    def wrap(owner: type, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def clocked(*args: Any) -> Any:
            start = time.perf_counter()
            result = original(*args)
            found[name] += time.perf_counter() - start
            return result

        monkeypatch.setattr(owner, name, clocked)

    wrap(ClipModel, "encode_image")
    wrap(Seraser, "predict")
    return found


def test_seconds_agree_with_timers_of_our_own(tmp_path, timed):
    (tmp_path / "model.json").write_text(json.dumps(_MIDDLING_CLIP))
    url = plan(tmp_path, str(tmp_path / "model.json"), images=48, side=320)
    open_session(url)  # its pictures are counted as loading
    timed.clear()
    run_local(url)
    found = status(url)
    seconds, methods = found["seconds"], found["seconds_per_image"]
    print(dict(timed), found)
    same = FLOORS["status"]["relative_error"]
    assert seconds["encode"] == pytest.approx(timed["encode_image"], rel=same)
    views = 2 / 3 * timed["encode_image"]  # background and foreground, beside the image
    assert methods["seraser"] * 48 == pytest.approx(timed["predict"] + views, rel=same)
    assert seconds["model"] == pytest.approx(timed.total(), rel=same)
    assert found["bound_by"] == "model"


def test_huge_pictures_and_a_tiny_model_are_bound_by_decoding(tmp_path, tiny_json, timed):
    url = plan(tmp_path, tiny_json, images=12, side=4000)
    start = time.perf_counter()
    run_local(url)
    wall = time.perf_counter() - start
    found = status(url)
    print(f"{wall:.2f} s", dict(timed), found)
    assert found["bound_by"] == "decode"
    assert found["seconds"]["data_wait"] > wall / 2 > timed.total()
