"""A run in one process: every image has its row, whatever the batch, the order or the threads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from seraser_core.config import load_config
from seraser_core.models.clip_model import ClipModel
from seraser_core.results.shards import RunDirectory
from seraser_core.results.status import status
from seraser_core.results.verify import verify
from seraser_core.runner import scoring
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run

CLASSES = ["a camel", "a deer on the lake", "a red-billed oxpecker"]
TEMPLATES = ["a photo of {}.", "{} seen from above"]
CONTEXTS = ["a photo of a desert", "water and nothing else"]


def logits(rows: pl.DataFrame) -> np.ndarray:
    return np.array(rows["logits"].to_list())


def test_every_image_has_one_row_per_method(run, tree):
    tree["methods"][1]["lr"] = 0.0002
    url, rows = run(tree)
    assert rows.height == 14 * 3
    assert rows.select("item_id", "method").n_unique() == 14 * 3
    assert set(rows["status"]) == {"ok"}
    assert verify(url).problems == []
    tuned = rows.filter(pl.col("method") == "seraser")
    assert (tuned["loss_last"] < tuned["loss_first"]).all()
    zero_shot = rows.filter(pl.col("method") == "zero_shot")
    assert (zero_shot["prediction"] == zero_shot["zero_shot_prediction"]).all()
    assert (tuned["zero_shot_prediction"] == zero_shot["prediction"]).all()
    assert np.abs(logits(tuned) - logits(zero_shot)).max() > 1e-2


@pytest.mark.parametrize(
    "changes",
    [
        ["runtime.batch_size=1"],
        ["runtime.batch_size=64", "shard.max_items=100"],
        ["runtime.batch_size=3", "shard.max_items=4", "runtime.decode_threads=1"],
        ["runtime.decode_threads=8", "shard.max_items=1"],
    ],
    ids=",".join,
)
def test_results_do_not_depend_on_how_the_work_is_cut(run, tree, changes):
    tree["methods"].append({"id": "noise", "name": "seraser", "auxiliary": "noise", "steps": 3})
    tree["methods"].append({"id": "augment", "name": "seraser", "auxiliary": "augment", "steps": 3})
    tree["methods"] += [
        {"name": "tpt", "views": 20},
        {"name": "seraser_task", "sample": 6, "lr": 0.005},
        {"name": "vte", "views": 20, "templates": TEMPLATES},
        *({"name": name, "views": 20} for name in ("zero", "mta", "tps")),
        "background",
        {"name": "ensemble", "templates": TEMPLATES},
        {"name": "roboshot", "reject": [["a desert", "a forest"]]},
        {"name": "group_prompt", "prompts": {name: [name, f"{name}, at sea"] for name in CLASSES}},
        {"name": "tie", "contexts": CONTEXTS},
        {"id": "tie-pool", "name": "tie", "contexts": CONTEXTS, "pool": {"sample": 6}},
        {"name": "sage", "templates": TEMPLATES},
        {"name": "sage_random", "templates": TEMPLATES},
        {"name": "orth_proj", "contexts": CONTEXTS},
        {"name": "orth_cali", "contexts": CONTEXTS},
        {"name": "perception", "contexts": {"sea": ["at sea", "in a boat"], "land": [""]}},
    ]
    _, expected = run(tree)
    assert not expected["stateful"].any()
    _, rows = run(tree, *changes)
    assert rows["prediction"].equals(expected["prediction"])
    assert np.abs(logits(rows) - logits(expected)).max() <= 1e-3


def test_the_cost_of_a_methods_own_views_is_told(run, tree):
    tree["methods"] = ["zero_shot", {"name": "tpt", "views": 20}, "foreground"]
    url, _ = run(tree)
    directory = RunDirectory(url)
    for commit in directory.commits().values():
        timings, views = commit.timings, commit.timings.views
        assert views["zero_shot"] == 0
        assert timings.peak_bytes == {}, "there is no GPU"
        assert views["tpt"] == pytest.approx(19 * views["foreground"])
        assert views["tpt"] + 2 * views["foreground"] == pytest.approx(timings.encode_s)
    found = status(url)["seconds_per_image"]
    assert found["tpt"] > sum(RunDirectory(url).commits()["00000"].timings.views.values()) / 99


def test_methods_with_as_many_views_share_their_features(run, tree, monkeypatch):
    tree["methods"] = [
        {"name": "vte", "views": 20, "templates": TEMPLATES},
        *({"name": name, "views": 20} for name in ("tpt", "zero", "mta", "tps")),
    ]
    encoded: list[int] = []
    whole = ClipModel.encode_pixels

    def encode(self, pixels):
        encoded.append(len(pixels))
        return whole(self, pixels)

    monkeypatch.setattr(ClipModel, "encode_pixels", encode)
    run(tree)
    assert sum(encoded) == 14 * 20


def test_a_stateful_method_says_so_and_begins_anew_with_every_shard(run, tree):
    tree["methods"] = ["zero_shot", {"name": "tda", "positive_alpha": 50}]
    url, rows = run(tree)
    tda = rows.filter(pl.col("method") == "tda")
    assert tda["stateful"].all()
    assert not rows.filter(pl.col("method") == "zero_shot")["stateful"].any()
    methods = pq.read_schema(next(Path(url, "predictions").iterdir())).metadata[b"seraser_methods"]
    assert [method["stateful"] for method in json.loads(methods)] == [False, True]
    for changes in (["runtime.batch_size=2"], ["runtime.parallel_shards=3"]):
        _, again = run(tree, *changes)
        same = again.filter(pl.col("method") == "tda")
        assert np.abs(logits(same) - logits(tda)).max() <= 1e-3
    _, single = run(tree, "shard.max_items=1")
    alone = single.filter(pl.col("method") == "tda")
    # Alone in its shard, an image finds only itself in the cache.
    gained = logits(alone) - logits(single.filter(pl.col("method") == "zero_shot"))
    assert np.abs(gained.max(1) - 50).max() <= 1e-3
    assert np.abs(logits(alone) - logits(tda)).max() > 1


def test_a_sample_of_bad_images_is_filled_with_others(run, tree, pictures, tmp_path):
    rows = pl.read_csv(pictures)
    table = pictures.with_name("some_missing.csv")
    rows.with_columns(
        pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col("file")).otherwise(pl.lit("no.png"))
    ).write_csv(table)
    tree["dataset"]["path"] = str(table)
    tree["dataset"]["allow_empty_classes"] = True
    tree["methods"] = [{"name": "seraser_task", "sample": 7, "lr": 0.005}]
    _, found = run(tree)
    assert found["status"].value_counts().sort("count")["count"].to_list() == [7, 7]
    good = table.with_name("good.csv")
    rows.filter(pl.int_range(pl.len()) % 2 == 0).write_csv(good)
    tree["dataset"]["path"] = str(good)
    _, expected = run(tree, f"output={tmp_path / 'good'}")
    found = found.filter(pl.col("status") == "ok")
    assert found["item_id"].equals(expected["item_id"])
    # All seven good images are the sample of both.
    assert np.abs(logits(found) - logits(expected)).max() <= 1e-3


def test_order_of_the_table_does_not_matter(run, tree, pictures, tmp_path):
    tree["methods"] += [{"name": name, "views": 20} for name in ("tpt", "zero", "mta", "tps")]
    _, expected = run(tree)
    shuffled = pl.read_csv(pictures).sample(fraction=1, shuffle=True, seed=4)
    path = pictures.with_name("shuffled.csv")
    shuffled.write_csv(path)
    _, rows = run(tree, f"dataset.path={path}", f"output={tmp_path / 'other'}")
    assert rows["item_id"].equals(expected["item_id"])
    assert np.abs(logits(rows) - logits(expected)).max() <= 1e-3


def test_two_runs_are_byte_equal(run, tree, tmp_path):
    first, _ = run(tree)
    second, _ = run(tree, f"output={tmp_path / 'again'}")
    for path in sorted(Path(first, "predictions").iterdir()):
        assert path.read_bytes() == Path(second, "predictions", path.name).read_bytes()


def test_tpt_and_the_seed_of_its_crops(run, tree):
    tree["methods"] = ["zero_shot", {"name": "tpt", "views": 20}]
    _, rows = run(tree)
    tuned = rows.filter(pl.col("method") == "tpt")
    assert tuned.height == 14
    assert (tuned["loss_last"] < tuned["loss_first"]).all()
    assert tuned["steps"].unique().to_list() == [1]
    _, others = run(tree, "seed=1")
    moved = np.abs(logits(rows) - logits(others)).max(1)
    assert (moved[rows["method"] == "tpt"] > 1e-3).all()
    assert (moved[rows["method"] == "zero_shot"] == 0).all()


def test_a_finished_run_is_not_computed_again(run, tree):
    url, _ = run(tree)
    before = {p: p.stat().st_mtime_ns for p in Path(url, "commits").iterdir()}
    assert len(before) == 3
    again, _ = run(tree)
    assert again == url
    assert {p: p.stat().st_mtime_ns for p in Path(url, "commits").iterdir()} == before


def test_a_changed_option_is_another_run(run, tree):
    first, _ = run(tree)
    second, _ = run(tree, "methods.1.steps=6")
    third, _ = run(tree, "runtime.batch_size=2")
    assert first != second
    assert first == third


def test_reduced_decoding_is_another_run(run, tree):
    """The pictures of the fixture are too small to be reduced, so that predictions are equal."""
    first, rows = run(tree)
    second, reduced = run(tree, "dataset.decode=reduced")
    assert first != second
    assert reduced.drop("run_id").equals(rows.drop("run_id"))


def test_labels_are_not_needed(run, tree):
    for key in ("label", "attribute", "attributes"):
        del tree["dataset"][key]
    url, rows = run(tree)
    assert rows["label"].is_null().all()
    assert rows["prediction"].is_not_null().all()
    assert verify(url).problems == []


_KILLED = """
import os, signal, sys, threading
from seraser_core.results.shards import RunDirectory
from seraser_core.runner.missing_shards import run_local

write, one_at_a_time, written = RunDirectory.write_shard, threading.Lock(), []

def kill_at_the_second(*args):
    with one_at_a_time:
        if written:
            os.kill(os.getpid(), signal.SIGKILL)
        written.append(write(*args))
    return written[0]

RunDirectory.write_shard = kill_at_the_second
run_local(sys.argv[1])
"""


@pytest.mark.slow
def test_a_killed_run_resumes_with_the_missing_shards_only(run, tree, tmp_path):
    expected_url, _ = run(tree, f"output={tmp_path / 'undisturbed'}")
    url = plan_run(load_config(tree))
    done = []
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-c", _KILLED, url], env=os.environ, check=False)
        assert killed.returncode == -signal.SIGKILL
        done.append(sorted(RunDirectory(url).commits()))
    assert [len(shards) for shards in done] == [1, 2]
    assert set(done[0]) < set(done[1])
    times = {s: Path(url, "commits", f"{s}.0.json").stat().st_mtime_ns for s in done[1]}
    run_local(url)
    assert {s: Path(url, "commits", f"{s}.0.json").stat().st_mtime_ns for s in times} == times
    report = verify(url)
    assert report.problems == []
    assert report.rows == 14 * 3
    for path in sorted(Path(expected_url, "predictions").iterdir()):
        assert path.read_bytes() == Path(url, "predictions", path.name).read_bytes()


def test_scores_of_many_classes_are_reduced_before_the_shard_ends(run, tree, monkeypatch):
    """As when the scores of a shard would take more memory than is kept for them."""
    url, _ = run(tree)
    monkeypatch.setattr(scoring, "_MOST_SCORE_BYTES", 0)
    other, _ = run(tree | {"name": "other", "runtime": {"batch_size": 2}})
    for name in RunDirectory(url).commits():
        mine, theirs = (
            pl.read_parquet(RunDirectory(one).predictions_path(name)) for one in (url, other)
        )
        exact = ["item_id", "method", "status", "prediction", "top_classes", "steps", "correct"]
        assert mine.select(exact).equals(theirs.select(exact))
        assert np.abs(logits(mine) - logits(theirs)).max() <= 1e-3
        assert mine["loss_last"].to_list() == pytest.approx(theirs["loss_last"].to_list(), abs=1e-3)
    assert verify(other).problems == []
