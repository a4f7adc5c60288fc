"""`verify` names what was changed, and nothing else."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from seraser_core.errors import RunDirectoryError
from seraser_core.results.documents import encode, sealed
from seraser_core.results.parquet import items_to_parquet
from seraser_core.results.run_directory import sums_hash
from seraser_core.results.summary import aggregate
from seraser_core.results.verify import verify
from seraser_core.storage import Found

COMMIT, ROWS, SUMS = "commits/00001.json", "predictions/00001.parquet", "metrics/00001.json"
FILES = [
    "run.json",
    "plan/items.parquet",
    "plan/plan.json",
    COMMIT,
    ROWS,
    SUMS,
    "report/files.json",
    "report/summary.parquet",
    "report/groups.parquet",
    "report/classes.parquet",
    "report/groups.png",
    "report/report.html",
]


@pytest.fixture
def reported(finished):
    """The finished run with its report."""
    aggregate(finished.url)
    return finished


def problems(directory):
    """What is wrong, as text; also where it is so bad that there is no run."""
    try:
        return [str(problem) for problem in verify(directory.url).problems]
    except RunDirectoryError as error:
        return [str(error)]


def commit_anew(directory, shard_id):
    """Let the commit name the files that are there, as a careful forger would."""
    place = Path(directory.path(f"commits/{shard_id}.json"))
    rows = Path(directory.predictions_path(shard_id)).read_bytes()
    commit = json.loads(place.read_text()) | {
        "sha256": hashlib.sha256(rows).hexdigest(),
        "bytes": len(rows),
        "metrics_sha256": sums_hash(directory.metrics(shard_id)),
    }
    place.write_bytes(encode(sealed(commit)))


def replace(directory, change):
    """Write shard 00001 anew with `change` made to its table; its commit names the new file."""
    path = Path(directory.predictions_path("00001"))
    pq.write_table(change(pq.read_table(path)), path)
    commit_anew(directory, "00001")


def with_column(table, name, values):
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(name), pa.array(values, table[name].type))


def test_a_finished_run_is_as_planned(reported):
    report = verify(reported.url)
    assert report.problems == report.unchecked == []
    assert (report.shards, report.done, report.rows, report.images) == (3, 3, 26, 13)


def test_a_run_without_a_report_is_as_planned(finished):
    assert problems(finished) == []


def test_every_file_of_a_run_is_named_here(reported):
    there = {str(p.relative_to(reported.url)) for p in Path(reported.url).rglob("*.*")}
    assert {name.replace("00000", "00001").replace("00002", "00001") for name in there} == {*FILES}


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_anywhere(reported, name):
    path = Path(reported.path(name))
    right = path.read_bytes()
    for place in np.linspace(0, len(right) - 1, 20).astype(int):
        data = bytearray(right)
        data[place] ^= 1 << (place % 8)
        path.write_bytes(data)
        found = problems(reported)
        assert any(name in problem for problem in found), (place, found)
        if "00001" in name:
            others = [p for p in found if not p.startswith(f"shard 00001: {name}: ")]
            assert others in ([], [REPORT_OF_OTHERS] * (name == COMMIT))
        elif name.startswith("report/"):
            assert all(problem.startswith("report/") for problem in found)
    path.write_bytes(right)
    assert problems(reported) == []


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (COMMIT, f"shard 00001: {COMMIT}: is missing, though {ROWS} is there"),
        (ROWS, f"shard 00001: {ROWS}: is missing"),
        (SUMS, f"shard 00001: {SUMS}: "),
        ("plan/items.parquet", "plan/items.parquet: "),
        ("plan/plan.json", "plan/plan.json: "),
        ("report/files.json", "report/files.json: is missing"),
        ("report/summary.parquet", "report/summary.parquet: is missing"),
    ],
)
def test_a_missing_file(reported, name, problem):
    Path(reported.path(name)).unlink()
    first, *others = problems(reported)
    assert first.startswith(problem)
    assert others == [REPORT_OF_OTHERS] * (name == COMMIT)


REPORT_OF_OTHERS = (
    "report/files.json: the report was made of other shards or training counts than there are now"
)


@pytest.mark.parametrize("name", FILES[1:])
def test_a_file_that_was_cut_off(reported, name):
    path = Path(reported.path(name))
    path.write_bytes(path.read_bytes()[:-9])
    first, *others = problems(reported)
    assert first.removeprefix("shard 00001: ").startswith(f"{name}: ")
    assert all(name in other or other == REPORT_OF_OTHERS for other in others)


def test_a_parquet_file_without_a_commit_and_a_commit_without_a_parquet_file(finished):
    Path(finished.path(COMMIT)).unlink()
    Path(finished.path("predictions/00002.parquet")).unlink()
    assert problems(finished) == [
        f"shard 00001: {COMMIT}: is missing, though {ROWS} is there",
        "shard 00002: predictions/00002.parquet: is missing",
    ]


@pytest.mark.parametrize("folders", [["predictions"], ["metrics"], ["commits"]])
def test_files_of_two_shards_that_were_swapped(finished, folders):
    swap(finished, folders)
    assert [problem.partition(f": {folders[0]}/")[0] for problem in problems(finished)] == [
        "shard 00000",
        "shard 00001",
    ]


@pytest.mark.parametrize("sealed_anew", [False, True])
def test_two_shards_that_were_swapped_as_a_whole(finished, edit, sealed_anew):
    swap(finished, ["predictions", "metrics", "commits"])
    if sealed_anew:
        for name in ("00000", "00001"):
            edit(finished, f"commits/{name}.json", lambda c, name=name: c.update(shard=name))
    found = problems(finished)
    what = "rows are not one per planned" if sealed_anew else "is the commit of shard"
    assert [what in problem for problem in found] == [True, True]


def swap(directory, folders):
    """Swap the files of shards 00000 and 00001."""
    for folder in folders:
        first, second = sorted(Path(directory.path(folder)).iterdir())[:2]
        shutil.move(first, first.with_suffix(".kept"))
        shutil.move(second, first)
        shutil.move(first.with_suffix(".kept"), second)


def test_run_without_run_json(finished):
    Path(finished.path("run.json")).unlink()
    with pytest.raises(RunDirectoryError, match="is no run directory"):
        verify(finished.url)


def test_a_changed_option(finished, edit):
    edit(finished, "run.json", lambda run: run["fingerprint_inputs"].update(seed=1))
    assert problems(finished) == [
        "run.json: the fingerprint is not that of its inputs",
        "run.json: config.seed is not what the fingerprint was made of",
    ]


@pytest.mark.parametrize("key", ["classes", "attributes", "prompts", "methods"])
def test_a_run_that_says_something_else_than_was_hashed(reported, edit, key):
    edit(reported, "run.json", lambda run: run[key].reverse())
    assert f"run.json: {key} is not what the fingerprint was made of" in problems(reported)
    edit(reported, "run.json", lambda run: run[key].clear())
    report = verify(reported.url)
    assert report.unchecked == ["report: the plan that says what belongs in it is not whole"]


def test_a_config_that_says_something_else_than_was_hashed(finished, edit):
    edit(finished, "run.json", lambda run: run["config"]["methods"][1].update(steps=99))
    found = problems(finished)
    assert found == ["run.json: config.methods is not what the fingerprint was made of"]


def test_an_option_that_no_prediction_depends_on_and_that_was_edited(finished):
    path = Path(finished.path("run.json"))
    path.write_text(path.read_text().replace('"path": "/pictures"', '"path": "/elsewhere"'))
    assert problems(finished) == ["run.json: is not as it was written: its seal is off"]


@pytest.mark.parametrize("name", ["run.json", "plan/plan.json", COMMIT])
def test_a_document_without_a_seal(finished, name):
    path = Path(finished.path(name))
    document = json.loads(path.read_bytes())
    del document["seal"]
    path.write_bytes(encode(document))
    (found,) = problems(finished)
    assert found.endswith(
        f"{name}: has no seal: it was changed, or written before there were seals"
    )


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
    found = problems(finished)
    assert "plan/plan.json: the shards do not cover the images once" in found
    assert "plan/plan.json: the hash of the plan is not the one in run.json" in found


def test_another_plan(scored, finished, edit):
    other = items_to_parquet(scored(seed=5).items)
    Path(finished.path("plan/items.parquet")).write_bytes(other)
    (found,) = problems(finished)
    assert "plan/items.parquet is not the file that plan.json names" in found
    mark = hashlib.sha256(other).hexdigest()
    edit(finished, "plan/plan.json", lambda plan: plan.update(items_sha256=mark))
    assert "plan/plan.json: the hash of the plan is not the one in run.json" in problems(finished)


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
    first = problems(finished)[0]
    assert first.startswith(f"shard 00001: {ROWS}: its ")
    assert first.endswith("rows are not one per planned image and method, in order")


def test_a_row_that_failed_behind_the_back_of_its_commit(finished):
    replace(finished, lambda table: with_column(table, "status", ["error"] + ["ok"] * 9))
    found = problems(finished)
    assert f"shard 00001: {ROWS}: the counts in its commit are not those of its rows" in found
    sums = f"shard 00001: {SUMS}: the sums of zero_shot are not those of its rows: ok"
    assert any(problem.startswith(sums) for problem in found)


@pytest.mark.parametrize(
    "name",
    [
        "correct",
        "zero_shot_correct",
        "prediction",
        "confidence",
        "top_classes",
    ],
)
def test_a_good_row_that_lacks_something(finished, name):
    def change(table):
        values = table[name].to_pylist()
        values[table["status"].to_pylist().index("ok")] = None
        return with_column(table, name, values)

    replace(finished, change)
    (found,) = problems(finished)
    assert found.startswith(f"shard 00001: {SUMS}: the sums of ")


def test_error_rows_that_lack_their_codes(finished):
    def change(table):
        table = with_column(table, "status", ["error"] * 4 + ["ok"] * 6)
        return with_column(table, "error_code", ["timeout", None, None, "crashed"] + [None] * 6)

    replace(finished, change)
    assert any("are not those of its rows: ok, errors" in problem for problem in problems(finished))


def test_a_changed_prediction(finished):
    def change(table):
        correct = pc.invert(table["correct"].combine_chunks())
        keep = np.arange(10) % 2 == 0  # the rows of the second method
        return with_column(table, "correct", pc.if_else(keep, table["correct"], correct))

    replace(finished, change)
    (found,) = problems(finished)
    start = f"shard 00001: {SUMS}: the sums of seraser are not those of its rows: correct"
    assert found.startswith(start)


@pytest.mark.parametrize("name", ["correct", "fixed", "rows", "changed"])
def test_a_changed_sum(finished, edit_metrics, name):
    def change(metrics):
        metrics["methods"]["seraser"][name] += 1

    edit_metrics(finished, "00001", change)
    (found,) = problems(finished)
    assert found == f"shard 00001: {SUMS}: the sums of seraser are not those of its rows: {name}"


@pytest.mark.parametrize("name", ["nll", "brier"])
def test_a_changed_sum_that_rows_do_not_give(finished, edit, name):
    edit(finished, SUMS, lambda m: m["methods"]["seraser"].update({name: 9999.0}))
    (found,) = problems(finished)
    assert found.startswith(f"shard 00001: {SUMS}: ")
    assert f"{SUMS} is not the file that its commit names" in found


@pytest.mark.parametrize("name", ["nll", "brier"])
def test_a_changed_sum_that_kept_logits_give(scored, tmp_path, edit_metrics, name):
    run = scored(save_logits=True)
    directory = run.create(str(tmp_path))
    run.write(directory)
    assert problems(directory) == []
    change = lambda metrics: metrics["methods"]["seraser"].update({name: 9999.0})  # noqa: E731
    edit_metrics(directory, "00001", change)
    (found,) = problems(directory)
    assert found == f"shard 00001: {SUMS}: the sums of seraser are not those of its rows: {name}"


def test_sums_of_a_method_that_are_missing(finished, edit_metrics):
    edit_metrics(finished, "00001", lambda metrics: metrics["methods"].pop("seraser"))
    (found,) = problems(finished)
    assert found.startswith(f"shard 00001: {SUMS}: ")
    assert "seraser" in found


def test_a_parquet_file_of_another_run(scored, finished):
    other = scored(seed=0, name="other")
    other.run["fingerprint"] = "0" * 64
    replace(finished, lambda _: other.predictions(range(5, 10)))
    assert problems(finished) == [f"shard 00001: {ROWS}: has another schema or fingerprint"]


def test_a_commit_of_another_run(finished, edit):
    edit(finished, COMMIT, lambda commit: commit.update(fingerprint="0" * 64))
    assert problems(finished) == [f"shard 00001: {COMMIT}: is of another configuration"]


def test_a_parquet_file_that_is_none(finished):
    Path(finished.path(ROWS)).write_bytes(b"not parquet")
    commit_anew(finished, "00001")
    (found,) = problems(finished)
    assert found.startswith(f"shard 00001: {ROWS}: cannot be read")


@pytest.mark.parametrize(
    "name",
    ["predictions/9.parquet", "metrics/9.json", "commits/9.json", "mended/9.json", "again/9"],
)
def test_a_file_of_no_planned_shard(finished, name):
    path = Path(finished.path(name))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    assert problems(finished) == [f"{name}: belongs to no planned shard; remove it"]


def test_a_shard_that_is_wanted_again(finished):
    finished.compute_again("00001")
    assert problems(finished) == ["shard 00001: again/00001: the shard is to be computed again"]


@pytest.mark.parametrize("how", ["flipped", "of another shard", "of another run"])
def test_files_that_were_taken_by_a_document_that_is_not_the_shards(finished, edit, how):
    finished.accept("00001", {5: Found(100, "tag")})
    finished.accept("00001", {6: Found(200)})
    assert finished.accepted("00001") == {5: Found(100, "tag"), 6: Found(200)}
    assert problems(finished) == []
    name = "mended/00001.json"
    path = Path(finished.path(name))
    if how == "flipped":
        path.write_bytes(path.read_bytes().replace(b"100", b"101"))
    elif how == "of another shard":
        name = "mended/00000.json"
        path = path.rename(path.with_name("00000.json"))
    else:
        edit(finished, name, lambda document: document.update(plan_hash="0" * 64))
    (found,) = problems(finished)
    assert found.startswith(f"{name}: {path} is ")
    with pytest.raises(RunDirectoryError, match=r"mended/0000.\.json is .*; delete it"):
        finished.items_to_read(path.stem)


def test_a_report_of_other_shards(small, finished):
    Path(finished.path(COMMIT)).unlink()
    aggregate(finished.url, partial=True)
    first, *others = problems(finished)
    assert first.startswith(f"shard 00001: {COMMIT}: is missing")
    assert others == []  # what it was made of is still so
    small.write(finished, "00001")
    assert problems(finished) == [REPORT_OF_OTHERS]
    aggregate(finished.url)
    assert problems(finished) == []


def test_a_report_that_says_what_the_rows_do_not(reported, edit):
    path = Path(reported.path("report/summary.parquet"))
    table = pl.read_parquet(path).with_columns(accuracy=pl.lit(0.99), nll=pl.lit(0.1))
    table.write_parquet(path)
    mark = hashlib.sha256(path.read_bytes()).hexdigest()
    edit(reported, "report/files.json", lambda f: f["files"].update({path.name: mark}))
    assert problems(reported) == [
        "report/summary.parquet: is not what the predictions give: accuracy, nll"
    ]
