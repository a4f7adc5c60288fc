"""`verify` names what was changed, and nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from seraser_core.errors import RunDirectoryError
from seraser_core.results.parquet import items_to_parquet
from seraser_core.results.verify import verify


def replace(directory, change, *, commit=True):
    """Write shard 00001 anew with `change` made to its table; its commit names the new file."""
    path = Path(directory.predictions_path("00001"))
    pq.write_table(change(pq.read_table(path)), path)
    if commit:
        place = Path(directory.path("commits/00001.json"))
        document = json.loads(place.read_text())
        document["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        place.write_text(json.dumps(document))


def with_column(table, name, values):
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(name), pa.array(values, table[name].type))


def test_a_finished_run_is_as_planned(finished):
    report = verify(finished.url)
    assert report.problems == []
    assert (report.shards, report.done, report.rows, report.images) == (3, 3, 26, 13)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("commits/00001.json", "shard 00001: no commit of this run"),
        ("predictions/00001.parquet", "shard 00001: its Parquet file is missing"),
        ("metrics/00001.json", "shard 00001: its metrics are not usable"),
        ("plan/items.parquet", "plan: "),
        ("plan/plan.json", "plan: "),
    ],
)
def test_a_missing_file(finished, name, problem):
    Path(finished.path(name)).unlink()
    (found,) = verify(finished.url).problems
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("predictions/00001.parquet", "shard 00001: its Parquet file is not the one"),
        ("plan/items.parquet", "plan"),
        ("metrics/00001.json", "shard 00001: its metrics are not usable"),
        ("plan/plan.json", "plan: "),
        ("commits/00001.json", "shard 00001: no commit of this run"),
    ],
)
def test_a_file_that_was_cut_off(finished, name, problem):
    path = Path(finished.path(name))
    path.write_bytes(path.read_bytes()[:-9])
    found = verify(finished.url).problems
    assert found
    assert all(one.startswith(problem) for one in found)


def test_run_without_run_json(finished):
    Path(finished.path("run.json")).unlink()
    with pytest.raises(RunDirectoryError, match="is no run directory"):
        verify(finished.url)


def test_a_changed_option(finished, edit):
    edit(finished, "run.json", lambda run: run["fingerprint_inputs"].update(seed=1))
    found = verify(finished.url).problems
    assert found == [
        "run.json: the fingerprint is not that of its inputs",
        "run.json: config.seed is not what the fingerprint was made of",
    ]


@pytest.mark.parametrize("key", ["classes", "attributes", "prompts", "methods"])
def test_a_run_that_says_something_else_than_was_hashed(finished, edit, key):
    edit(finished, "run.json", lambda run: run[key].reverse())
    problem = f"run.json: {key} is not what the fingerprint was made of"
    assert problem in verify(finished.url).problems


def test_a_config_that_says_something_else_than_was_hashed(finished, edit):
    edit(finished, "run.json", lambda run: run["config"]["methods"][1].update(steps=99))
    (found,) = verify(finished.url).problems
    assert found == "run.json: config.methods is not what the fingerprint was made of"


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: plan["shards"].pop(),
        lambda plan: plan["shards"].pop(0),
        lambda plan: plan["shards"][1].update(start=4),
        lambda plan: plan["shards"][1].update(stop=9),
    ],
)
def test_shards_that_do_not_cover_the_images_once(finished, edit, change):
    edit(finished, "plan/plan.json", change)
    found = verify(finished.url).problems
    assert "plan: the shards do not cover the images once" in found
    assert "plan: its hash is not the one in run.json" in found


def test_another_plan(scored, finished):
    other = items_to_parquet(scored(seed=5).items)
    Path(finished.path("plan/items.parquet")).write_bytes(other)
    found = verify(finished.url).problems
    assert any("plan/items.parquet is not the file that plan.json names" in p for p in found)
    assert "plan: its hash is not the one in run.json" in found


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.slice(0, 9),
        lambda table: pa.concat_tables([table, table.slice(9)]),
        lambda table: table.take(pa.array([1, 0, *range(2, 10)])),
        lambda table: with_column(table, "item_id", ["x", *table["item_id"].to_pylist()[1:]]),
        lambda table: with_column(table, "label", [None] * 10),
    ],
)
def test_rows_that_are_not_one_per_image_and_method(finished, change):
    replace(finished, change)
    assert any(
        "are not one per planned image and method" in p for p in verify(finished.url).problems
    )


def test_a_row_that_failed_behind_the_back_of_its_commit(finished):
    replace(finished, lambda table: with_column(table, "status", ["error"] + ["ok"] * 9))
    found = verify(finished.url).problems
    assert "shard 00001: the counts in its commit are not those of its rows" in found
    assert any("metrics of zero_shot are not those of its rows: ok" in p for p in found)


def test_a_changed_prediction(finished):
    def change(table):
        correct = pc.invert(table["correct"].combine_chunks())
        keep = np.arange(10) % 2 == 0  # the rows of the second method
        return with_column(table, "correct", pc.if_else(keep, table["correct"], correct))

    replace(finished, change)
    (found,) = verify(finished.url).problems
    assert found.startswith("shard 00001: metrics of seraser are not those of its rows: correct")


@pytest.mark.parametrize("name", ["correct", "fixed", "rows", "changed"])
def test_a_changed_sum(finished, edit_metrics, name):
    def change(metrics):
        metrics["methods"]["seraser"][name] += 1

    edit_metrics(finished, "00002", change)
    (found,) = verify(finished.url).problems
    assert found == f"shard 00002: metrics of seraser are not those of its rows: {name}"


@pytest.mark.parametrize("name", ["nll", "brier"])
def test_a_changed_sum_that_rows_do_not_give(finished, edit, name):
    edit(finished, "metrics/00002.json", lambda m: m["methods"]["seraser"].update({name: 9999.0}))
    (found,) = verify(finished.url).problems
    assert found.startswith("shard 00002: its metrics are not usable: ")
    assert "metrics/00002.json is not the file that its commit names" in found


def test_sums_of_a_method_that_are_missing(finished, edit_metrics):
    edit_metrics(finished, "00002", lambda metrics: metrics["methods"].pop("seraser"))
    (found,) = verify(finished.url).problems
    assert found.startswith("shard 00002:")
    assert "seraser" in found


def test_a_parquet_file_of_another_run(scored, finished):
    other = scored(seed=0, name="other")
    other.run["fingerprint"] = "0" * 64
    replace(finished, lambda _: other.predictions(range(5, 10)))
    (found,) = verify(finished.url).problems
    assert found == "shard 00001: its Parquet file has another schema or fingerprint"


def test_a_parquet_file_that_is_none(finished, edit):
    path = Path(finished.predictions_path("00001"))
    path.write_bytes(b"not parquet")
    mark = hashlib.sha256(path.read_bytes()).hexdigest()
    edit(finished, "commits/00001.json", lambda commit: commit.update(sha256=mark))
    (found,) = verify(finished.url).problems
    assert found.startswith("shard 00001: its Parquet file cannot be read")


def test_a_file_that_a_glob_would_read_as_well(finished):
    Path(finished.path("predictions/00009.parquet")).write_bytes(b"")
    (found,) = verify(finished.url).problems
    assert found == "predictions/00009.parquet belongs to no planned shard"
