"""What counts as done, and what a run directory refuses."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from seraser_core.errors import RunDirectoryError
from seraser_core.results.run_directory import RunDirectory, fingerprint, plan_hash
from seraser_core.sources.items import ShardRange

SHARDS = ["00000", "00001", "00002"]


def done(directory):
    return [name for name in SHARDS if directory.is_done(name)]


def test_a_shard_is_done_when_its_commit_and_its_file_agree(small, finished):
    assert done(finished) == list(finished.done()) == SHARDS
    commit = finished.commit("00001")
    assert (commit["rows"], commit["ok"], commit["errors"]) == (10, 10, 0)
    assert commit["sha256"] == finished.parquet_hash("00001")
    first = finished.commit("00000")
    assert (first["rows"], first["ok"], first["errors"]) == (10, 8, 2)


@pytest.mark.parametrize("name", ["commits/00001.json", "predictions/00001.parquet"])
def test_a_shard_without_its_commit_or_file_is_not_done(finished, name):
    Path(finished.path(name)).unlink()
    assert done(finished) == ["00000", "00002"]


def test_a_shard_whose_file_changed_by_one_bit_is_not_done(finished):
    path = Path(finished.predictions_path("00001"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert done(finished) == ["00000", "00002"]


@pytest.mark.parametrize("key", ["fingerprint", "plan_hash"])
def test_a_commit_of_another_run_does_not_count(finished, edit, key):
    edit(finished, "commits/00002.json", lambda commit: commit.update({key: "f" * 64}))
    assert done(finished) == list(finished.done()) == ["00000", "00001"]
    assert list(finished.done_metrics()) == ["00000", "00001"]


def test_a_commit_that_was_cut_off_does_not_count(finished):
    path = Path(finished.path("commits/00000.json"))
    path.write_bytes(path.read_bytes()[:-20])
    assert done(finished) == list(finished.done()) == ["00001", "00002"]


def test_committing_again_gives_the_same_bytes_and_clears_the_failure(small, finished):
    before = Path(finished.predictions_path("00001")).read_bytes()
    finished.write_failure("00001", ValueError("no luck"), 2)
    assert finished.failures()["00001"]["message"] == "no luck"
    small.write(finished, "00001")
    assert Path(finished.predictions_path("00001")).read_bytes() == before
    assert finished.failures() == {}


def test_creating_the_same_run_again_changes_nothing(small, finished):
    files = {p: p.read_bytes() for p in Path(finished.url).rglob("*") if p.is_file()}
    small.create(str(Path(finished.url).parent))
    assert {p: p.read_bytes() for p in Path(finished.url).rglob("*") if p.is_file()} == files


def test_a_directory_of_another_configuration_is_refused(scored, small, finished):
    other = scored(seed=0, precision="bf16")
    other.run["run_id"] = small.run["run_id"]
    with pytest.raises(RunDirectoryError, match=r"these differ: precision\. Use another name"):
        other.create(str(Path(finished.url).parent))


DAMAGE = ['{"run_id": ', "[]", "{}", "null", '{"shards": [7], "items_sha256": ""}']


@pytest.mark.parametrize("text", DAMAGE)
@pytest.mark.parametrize("name", ["run.json", "plan/plan.json"])
def test_a_damaged_document_is_named(finished, name, text):
    Path(finished.path(name)).write_text(text)
    with pytest.raises(RunDirectoryError, match=f"{name} is damaged"):
        finished.run()
        finished.shards()


@pytest.mark.parametrize("text", DAMAGE)
@pytest.mark.parametrize("name", ["commits/00001.json", "metrics/00001.json"])
def test_a_shard_with_a_damaged_document_is_not_done(finished, name, text):
    Path(finished.path(name)).write_text(text)
    assert done(finished) == ["00000", "00002"]
    assert [shard.id for shard in finished.missing()] == ["00001"]


def test_no_run_directory(tmp_path):
    with pytest.raises(RunDirectoryError, match=r"is no run directory: it has no run\.json"):
        RunDirectory(str(tmp_path)).run()


def test_items_of_a_shard_are_those_planned(scored, tmp_path):
    """Over several row groups of the plan."""
    big = scored(20_000, 7_000, failed=())
    directory = big.create(str(tmp_path))
    with pq.ParquetFile(directory.path("plan", "items.parquet")) as file:
        assert file.num_row_groups > 2
    for shard in directory.shards():
        expected = big.items.slice(shard.start, len(shard))
        assert directory.items(shard.id).equals(expected)
    assert directory.items().equals(big.items)
    with pytest.raises(RunDirectoryError, match="has no shard '00009'"):
        directory.items("00009")


def test_fingerprint_depends_on_values_not_on_order():
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    marks = {fingerprint({"a": value}) for value in (1, 2, "1", None, [1], "é", "e")}
    assert len(marks) == 7


def test_plan_hash_depends_on_every_item_and_on_the_cut(scored, small):
    whole = [ShardRange("00000", 0, 13)]
    hashes = {
        plan_hash(small.items, small.shards),
        plan_hash(small.items, whole),
        plan_hash(small.items.slice(0, 12), small.shards),
        plan_hash(scored(labels=[1] * 13).items, small.shards),
        plan_hash(scored(labels=[None] + [1] * 12).items, small.shards),
    }
    assert len(hashes) == 5
    assert plan_hash(scored().items, small.shards) in hashes
