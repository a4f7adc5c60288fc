"""Pools: methods that learn from another split of the data set than the one they classify."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from miniatures import write_waterbirds

from seraser_core.config import load_config
from seraser_core.errors import ConfigError, RunDirectoryError
from seraser_core.results.shards import RunDirectory
from seraser_core.results.verify import verify
from seraser_core.runner.plan import plan_run
from seraser_core.runner.retry import Retry
from seraser_core.runner.session import open_session

CONTEXTS = ["a photo of a desert", "water and nothing else"]
TRAINING = 9


@pytest.fixture
def split(tree, pictures) -> Path:
    """The table with a split column, of which the tree classifies `test`."""
    rows = pl.read_csv(pictures)
    split = (
        pl.when(pl.int_range(pl.len()) < TRAINING).then(pl.lit("train")).otherwise(pl.lit("test"))
    )
    path = pictures.with_name("split.csv")
    rows.with_columns(split=split).write_csv(path)
    tree["dataset"] |= {"path": str(path), "allow_empty_classes": True}
    tree["dataset"]["split"] = {"column": "split", "values": ["test"]}
    tree["methods"] = [{"name": "tie", "contexts": CONTEXTS, "pool": {"split": "train"}}]
    return path


def logits(rows: pl.DataFrame) -> np.ndarray:
    return np.array(rows["logits"].to_list())


def test_means_are_those_of_the_other_split(run, tree, split, tmp_path):
    url, rows = run(tree)
    assert set(rows["item_id"]) == {f"item-{i:02}" for i in range(TRAINING, 14)}
    means = open_session(url).methods[0]._means
    pool = RunDirectory(url).pool("tie")
    assert pool["item_id"].to_pylist() == [f"item-{i:02}" for i in range(TRAINING)]
    _, parts = run(tree, "shard.max_items=1", "runtime.batch_size=1")
    assert np.abs(logits(parts) - logits(rows)).max() <= 1e-3
    tree["methods"][0]["pool"] = {"sample": 14}
    over, _ = run(tree, "dataset.split.values=[train]", f"output={tmp_path / 'over'}")
    expected = open_session(over).methods[0]._means
    assert np.allclose(means, expected, atol=1e-6, equal_nan=True)
    tree["methods"][0]["pool"] = "self"
    _, other = run(tree)
    assert np.abs(logits(other) - logits(rows)).max() > 1e-3


def test_another_pool_makes_another_run(tree, split):
    url = plan_run(load_config(tree))
    assert plan_run(load_config(tree)) == url
    tree["methods"][0]["pool"] = {"split": "train", "sample": 4}
    fewer = plan_run(load_config(tree))
    assert RunDirectory(fewer).pool("tie").num_rows == 4
    assert RunDirectory(fewer).run.fingerprint_inputs.document()["pools"].keys() == {"tie"}
    tree["methods"][0]["pool"] = {"split": ["train"]}
    rows = pl.read_csv(split)
    rows.filter(pl.col("id") != "item-03").write_csv(split)
    assert plan_run(load_config(tree)) not in (url, fewer)


def test_a_pool_that_is_lost_is_written_again_and_another_one_is_refused(tree, split):
    url = plan_run(load_config(tree))
    file = Path(url, "plan", "pools", "tie.parquet")
    data = file.read_bytes()
    tree["methods"][0]["pool"]["sample"] = 4
    other = Path(plan_run(load_config(tree)), "plan", "pools", "tie.parquet").read_bytes()
    for damage, told in ((other, "differ: pools"), (b"PAR1", "is damaged"), (None, "is missing")):
        if damage is None:
            file.unlink()
        else:
            file.write_bytes(damage)
        with pytest.raises(RunDirectoryError, match=told):
            open_session(url)
        assert [problem.file for problem in verify(url).problems if "pool" in problem.file] == [
            "plan/pools/tie.parquet"
        ]
    del tree["methods"][0]["pool"]["sample"]
    assert plan_run(load_config(tree)) == url
    assert file.read_bytes() == data
    assert open_session(url).pools["tie"].num_rows == TRAINING


def test_the_pool_of_a_benchmark_is_a_split_by_its_name(tmp_path, tiny_json):
    write_waterbirds(tmp_path / "birds")
    tree = {
        "dataset": {"format": "benchmark", "name": "waterbirds", "path": str(tmp_path / "birds")},
        "model": {"name": tiny_json, "pretrained": None, "device": "cpu"},
        "methods": [{"name": "tie", "contexts": "dataset", "pool": {"split": "train"}}],
        "output": str(tmp_path / "runs"),
    }
    said: list[str] = []
    url = plan_run(load_config(tree), said.append)
    assert any(line.startswith("tie: its pool has ") for line in said)
    pool = RunDirectory(url).pool("tie")["item_id"].to_pylist()
    assert pool
    assert not {*pool} & {*RunDirectory(url).items()["item_id"].to_pylist()}
    tree["methods"][0]["pool"] = {"split": ["train", "val"]}
    with pytest.raises(ConfigError, match=r"(?s)^methods\.tie\.pool\.split: .*one split"):
        plan_run(load_config(tree))


def test_failed_images_can_be_tried_again(run, tree, split):
    rows = pl.read_csv(split)
    picture = split.with_name(rows["file"][12])
    picture.rename(picture.with_suffix(".away"))
    url, rows = run(tree)
    assert rows.filter(pl.col("status") == "error")["item_id"].to_list() == ["item-12"]
    picture.with_suffix(".away").rename(picture)
    again = Retry()
    for shard in again.shards(url):
        again(url, shard.id)
    assert set(pl.read_parquet(f"{url}/predictions/*.parquet")["status"]) == {"ok"}


def test_a_split_that_there_is_not_is_told_by_the_option_of_the_method(tree, split):
    tree["methods"][0]["pool"] = {"split": "tarin"}
    with pytest.raises(ConfigError, match=r"(?s)^methods\.tie\.pool\.split: .*tarin.*train"):
        plan_run(load_config(tree))
    del tree["dataset"]["split"]
    with pytest.raises(ConfigError, match=r"(?s)^methods\.tie\.pool\.split: .*split\.column"):
        plan_run(load_config(tree))
