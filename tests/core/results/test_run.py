"""The plan of a run and its run.json: how they are written, resumed and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seraser_core.errors import RunDirectoryError
from seraser_core.results.fingerprints import fingerprint, plan_hash
from seraser_core.results.records import encode
from seraser_core.results.shards import RunDirectory
from seraser_core.results.status import status
from seraser_core.results.summary import aggregate
from seraser_core.results.verify import verify
from seraser_core.sources.items import ShardRange


def test_creating_the_same_run_again_changes_nothing(small, finished):
    files = {p: p.read_bytes() for p in Path(finished.url).rglob("*") if p.is_file()}
    small.create(str(Path(finished.url).parent))
    assert {p: p.read_bytes() for p in Path(finished.url).rglob("*") if p.is_file()} == files


def test_a_directory_of_another_configuration_is_refused(scored, small, finished):
    other = scored(seed=0, precision="bf16")
    other.change(run_id=small.run.run_id)
    with pytest.raises(RunDirectoryError, match=r"these differ: precision\nhint: use another name"):
        other.create(str(Path(finished.url).parent))


def test_resuming_takes_on_what_changes_no_prediction(scored, finished):
    """And keeps when the run was first planned."""
    again = scored()
    config = again.run.config.document()
    config["runtime"]["retries"] = 7
    again.change(config=config, created="2030-01-01T00:00:00+00:00")
    resumed = again.create(str(Path(finished.url).parent))
    assert resumed.run.config.runtime.retries == 7
    assert resumed.run.created == "2024-05-06T07:08:09+00:00"
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
    with pytest.raises(RunDirectoryError, match=r"plan\.json has other shards.*\nhint: delete it"):
        small.create(str(Path(finished.url).parent))


def test_items_that_were_edited_are_refused(finished):
    path = Path(finished.path("plan/items.parquet"))
    items = pq.read_table(path)
    place = items.schema.get_field_index("label")
    labels = pa.array([2] * items.num_rows, pa.int32())
    pq.write_table(items.set_column(place, items.schema.field(place), labels), path)
    for check in (lambda run: run.check_items(), lambda run: run.items("00001")):
        with pytest.raises(
            RunDirectoryError, match=r"items\.parquet is not the file that plan\.json"
        ):
            check(RunDirectory(finished.url))


def test_a_flipped_bit_in_the_items_of_a_shard_concerns_it_alone(finished):
    path, expected = Path(finished.path("plan/items.parquet")), finished.items("00001")
    group = pq.read_metadata(path).row_group(1)
    columns = [group.column(i) for i in range(group.num_columns)]
    start = min(c.dictionary_page_offset or c.data_page_offset for c in columns)
    size = sum(c.total_compressed_size for c in columns)
    assert expected["item_index"].to_pylist() == list(range(5, 10))
    whole = path.read_bytes()
    for place in range(start, start + size, 37):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        directory = RunDirectory(finished.url)
        assert directory.items("00000").num_rows == 5
        with pytest.raises(RunDirectoryError, match=r"items\.parquet is not the file that"):
            directory.items("00001")


@pytest.mark.parametrize("data", [b"PAR1xx", b"", None])
def test_items_that_cannot_be_read(finished, data):
    path = Path(finished.path("plan/items.parquet"))
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(RunDirectoryError, match=r"items\.parquet is (not the file|missing)"):
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
        with pytest.raises(
            RunDirectoryError, match=f"{name} is damaged.*\nhint: delete it, and run"
        ):
            ask(finished.url)


@pytest.mark.parametrize("key", ["attributes", "classes", "config", "methods", "plan_hash"])
def test_a_run_without_a_key_is_damaged(finished, edit, key):
    edit(finished, "run.json", lambda run: run.pop(key))
    with pytest.raises(
        RunDirectoryError, match=rf"damaged: {key}: Field required\nhint: delete it"
    ):
        status(finished.url)


@pytest.mark.parametrize("key", ["dataset", "runtime", "model", "methods", "save_logits"])
def test_a_run_whose_config_lacks_a_key_is_damaged(finished, edit, key):
    edit(finished, "run.json", lambda run: run["config"].pop(key))
    with pytest.raises(RunDirectoryError, match=rf"damaged: config\.{key}: Field required"):
        status(finished.url)


def test_no_run_directory(tmp_path):
    with pytest.raises(RunDirectoryError, match=r"is no run directory: it has no run\.json"):
        status(str(tmp_path))


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


def test_a_number_that_json_does_not_have_is_damage(finished):
    path = Path(finished.path("run.json"))
    path.write_bytes(path.read_bytes().replace(b"{\n", b'{\n  "extra": NaN,\n', 1))
    with pytest.raises(RunDirectoryError, match=r"run\.json is damaged: expected value at line 2"):
        status(finished.url)


def test_equal_records_are_equal_bytes():
    first, other = encode({"b": [1, 2.5], "a": "é"}), encode({"a": "é", "b": [1, 2.5]})
    assert first == other
    assert json.loads(first) == {"a": "é", "b": [1, 2.5]}
    with pytest.raises(ValueError, match="JSON"):
        encode({"a": float("nan")})


def test_what_a_newer_version_wrote_does_no_harm(small, finished, edit):
    edit(finished, "run.json", lambda run: run.update(added={"x": [1.5]}))
    assert verify(finished.url).problems == []
    assert status(finished.url)["finished"]
