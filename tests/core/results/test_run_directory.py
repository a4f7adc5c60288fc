"""What counts as done, and what a run directory refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seraser_core.errors import RunDirectoryError
from seraser_core.results.fingerprints import fingerprint, plan_hash
from seraser_core.results.run_directory import RunDirectory
from seraser_core.results.status import status
from seraser_core.results.summary import aggregate
from seraser_core.results.survey import survey
from seraser_core.results.verify import verify
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
    assert list(survey(finished).metrics) == ["00000", "00001"]


def test_a_copy_of_another_shard_does_not_count(finished):
    for folder in ("predictions", "metrics", "commits"):
        first, second = sorted(Path(finished.path(folder)).iterdir())[:2]
        second.write_bytes(first.read_bytes())
    assert done(finished) == list(finished.done()) == ["00000", "00002"]


def test_a_commit_that_was_cut_off_does_not_count(finished):
    path = Path(finished.path("commits/00000.json"))
    path.write_bytes(path.read_bytes()[:-20])
    assert done(finished) == list(finished.done()) == ["00001", "00002"]


def test_committing_again_gives_the_same_bytes_and_clears_the_failure(small, finished):
    before = Path(finished.predictions_path("00001")).read_bytes()
    finished.attempts.write_failure("00001", ValueError("no luck"), 2)
    assert finished.attempts.failures()["00001"]["message"] == "no luck"
    small.write(finished, "00001")
    assert Path(finished.predictions_path("00001")).read_bytes() == before
    assert finished.attempts.failures() == {}


def test_creating_the_same_run_again_changes_nothing(small, finished):
    files = {p: p.read_bytes() for p in Path(finished.url).rglob("*") if p.is_file()}
    small.create(str(Path(finished.url).parent))
    assert {p: p.read_bytes() for p in Path(finished.url).rglob("*") if p.is_file()} == files


def test_a_directory_of_another_configuration_is_refused(scored, small, finished):
    other = scored(seed=0, precision="bf16")
    other.run["run_id"] = small.run["run_id"]
    with pytest.raises(RunDirectoryError, match=r"these differ: precision\. Use another name"):
        other.create(str(Path(finished.url).parent))


def test_resuming_takes_on_what_changes_no_prediction(scored, finished):
    """And keeps when the run was first planned."""
    again = scored()
    again.run["config"]["runtime"]["retries"] = 7
    again.run["created"] = "2030-01-01T00:00:00+00:00"
    again.create(str(Path(finished.url).parent))
    assert finished.run()["config"]["runtime"]["retries"] == 7
    assert finished.run()["created"] == "2024-05-06T07:08:09+00:00"
    assert verify(finished.url).problems == []


@pytest.mark.parametrize("name", ["items.parquet", "plan.json"])
def test_resuming_writes_a_plan_that_is_missing(small, finished, name):
    path = Path(finished.path("plan", name))
    before = path.read_bytes()
    path.unlink()
    small.create(str(Path(finished.url).parent))
    assert path.read_bytes() == before
    assert verify(finished.url).problems == []


def test_resuming_refuses_shards_that_were_edited(small, finished, edit):
    edit(finished, "plan/plan.json", lambda plan: plan["shards"].pop())
    with pytest.raises(RunDirectoryError, match=r"plan\.json has other shards.*; delete it"):
        small.create(str(Path(finished.url).parent))


def test_items_that_were_edited_are_refused(finished):
    finished.check_items()
    path = Path(finished.path("plan/items.parquet"))
    items = pq.read_table(path)
    place = items.schema.get_field_index("label")
    labels = pa.array([2] * items.num_rows, pa.int32())
    pq.write_table(items.set_column(place, items.schema.field(place), labels), path)
    with pytest.raises(RunDirectoryError, match=r"items\.parquet is not the file that plan\.json"):
        finished.check_items()


@pytest.mark.parametrize("data", [b"PAR1xx", b"", None])
def test_items_that_cannot_be_read(finished, data):
    path = Path(finished.path("plan/items.parquet"))
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(RunDirectoryError, match=r"items\.parquet is (damaged|missing)"):
        finished.items("00001")


DAMAGE = [
    b'{"run_id": ',
    b"[]",
    b"{}",
    b"null",
    b"",
    b'{"a": "\xff\x80"}',
    b"[" * 100_000,
    b'{"shards": [7], "items_sha256": ""}',
    b'{"shards": null, "items_sha256": ""}',
    b'{"shards": [{"id": "00000", "start": "0", "stop": null}], "items_sha256": ""}',
    b'{"shard": "00001", "methods": {}, "timings": {}}',
    b'{"error": null, "message": 1, "attempt": []}',
]


@pytest.mark.parametrize("data", DAMAGE)
@pytest.mark.parametrize("name", ["run.json", "plan/plan.json"])
def test_a_damaged_document_is_named(finished, name, data):
    Path(finished.path(name)).write_bytes(data)
    for ask in (status, aggregate, verify):
        if ask is verify and name == "plan/plan.json":
            (problem,) = verify(finished.url).problems
            assert f"{name} is damaged" in str(problem)
            continue
        with pytest.raises(RunDirectoryError, match=f"{name} is damaged.*; delete it, and run"):
            ask(finished.url)


@pytest.mark.parametrize("key", ["attributes", "classes", "config", "methods", "plan_hash"])
def test_a_run_without_a_key_is_damaged(finished, edit, key):
    edit(finished, "run.json", lambda run: run.pop(key))
    with pytest.raises(RunDirectoryError, match=f"run.json is damaged: it has no '{key}'"):
        finished.run()


@pytest.mark.parametrize("key", ["dataset", "runtime", "model", "methods", "save_logits"])
def test_a_run_whose_config_lacks_a_key_is_damaged(finished, edit, key):
    edit(finished, "run.json", lambda run: run["config"].pop(key))
    with pytest.raises(RunDirectoryError, match=f"run.json is damaged: config has no '{key}'"):
        finished.run()


@pytest.mark.parametrize("data", DAMAGE)
@pytest.mark.parametrize("name", ["commits/00001.json", "metrics/00001.json"])
def test_a_shard_with_a_damaged_document_is_not_done(small, finished, name, data):
    Path(finished.path(name)).write_bytes(data)
    assert done(finished) == ["00000", "00002"]
    assert [shard.id for shard in finished.missing()] == ["00001"]
    assert status(finished.url)["shards"] == {"done": 2, "total": 3, "failed": 0}
    with pytest.raises(RunDirectoryError, match="1 of 3 shards are missing, the first is 00001"):
        aggregate(finished.url)
    (problem,) = verify(finished.url).problems
    assert problem.shard == "00001"
    small.write(finished, "00001")
    assert verify(finished.url).problems == []


@pytest.mark.parametrize("key", ["write_s", "host", "process", "started", "metrics_sha256"])
@pytest.mark.parametrize("how", ["lacks it", "has another type"])
def test_a_commit_that_lacks_something_does_not_count(finished, edit, key, how):
    def change(commit):
        commit.pop(key) if how == "lacks it" else commit.update({key: [1]})

    edit(finished, "commits/00001.json", change)
    assert done(finished) == list(finished.done()) == ["00000", "00002"]
    assert status(finished.url)["images"] == {"done": 8, "total": 13}


def _without_a_method(metrics):
    metrics["methods"].pop("seraser")


def _without_a_sum(metrics):
    metrics["methods"]["seraser"].pop("confusion")


def _of_another_type(metrics):
    metrics["methods"]["seraser"]["groups"] = {"0 0": [1, 2]}


def _without_a_time(metrics):
    metrics["timings"].pop("wall_s")


@pytest.mark.parametrize(
    "change", [_without_a_method, _without_a_sum, _of_another_type, _without_a_time]
)
def test_metrics_that_cannot_be_merged_are_damaged(finished, edit, edit_metrics, change):
    """Even when their commit names them."""
    edit_metrics(finished, "00001", change)
    with pytest.raises(RunDirectoryError, match=r"metrics/00001\.json is damaged"):
        finished.metrics("00001")
    assert done(finished) == ["00000", "00002"]
    assert "00001" in status(finished.url)["damaged"]


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_a_shard_whose_file_is_gone_or_cut_off_is_named(finished, damage):
    """Its file is not read for this."""
    path = Path(finished.predictions_path("00001"))
    data = path.read_bytes()
    path.unlink()
    if damage == "cut off":
        path.write_bytes(data[:-1])
    found = status(finished.url)
    assert not found["finished"]
    assert found["shards"]["done"] == 2
    assert f"{path} {'is missing' if damage == 'missing' else 'has'}" in found["damaged"]["00001"]
    with pytest.raises(RunDirectoryError, match=r"00001 \(.*00001\.parquet"):
        aggregate(finished.url)


def test_a_shard_whose_metrics_are_gone_is_named(finished):
    path = Path(finished.path("metrics/00001.json"))
    path.unlink()
    expected = f"{path} is missing; `seraser repair` computes the shard again"
    assert status(finished.url)["damaged"] == {"00001": expected}


def test_a_failure_of_a_shard_that_is_done_does_not_count(finished):
    finished.attempts.write_failure("00001", OSError("throttled"), 1)
    found = status(finished.url)
    assert (found["shards"]["failed"], found["failures"]) == (0, {})


@pytest.mark.parametrize("data", DAMAGE)
def test_a_damaged_record_of_a_failure_is_shown_as_unreadable(finished, data):
    for shard in ("00000", "00001"):
        path = Path(finished.path("failures", f"{shard}.json"))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    Path(finished.path("commits/00001.json")).unlink()
    (failure,) = status(finished.url)["failures"].values()
    assert failure.startswith("unreadable record: ")
    assert "failures/00001.json is damaged" in failure
    aggregate(finished.url, partial=True)


def test_no_run_directory(tmp_path):
    with pytest.raises(RunDirectoryError, match=r"is no run directory: it has no run\.json"):
        RunDirectory(str(tmp_path)).run()


@pytest.mark.parametrize("ask", [status, verify, aggregate])
@pytest.mark.parametrize("kind", ["a file", "foo://x", "/dev/null", ""])
def test_places_that_can_be_no_run_directory(tmp_path, ask, kind):
    place = tmp_path / "file.json"
    place.write_text(json.dumps({}))
    with pytest.raises(RunDirectoryError):
        ask(str(place) if kind == "a file" else kind)


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


@pytest.mark.parametrize("name", ["run.json", "commits/00001.json", "metrics/00001.json"])
def test_a_number_that_json_does_not_have_is_damage(finished, name):
    path = Path(finished.path(name))
    path.write_bytes(path.read_bytes().replace(b"{\n", b'{\n  "extra": NaN,\n', 1))
    if name == "run.json":
        with pytest.raises(RunDirectoryError, match=r"run\.json is damaged: NaN is no JSON"):
            finished.run()
        return
    assert done(finished) == ["00000", "00002"]
    (problem,) = verify(finished.url).problems
    assert f"{name} is damaged: NaN is no JSON" in str(problem)
