"""`verify` names what was changed, and nothing else."""

from __future__ import annotations

import hashlib
import io
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
from seraser_core.results.comparison import ComparedRun, create_comparison, write_comparison
from seraser_core.results.parquet_files import footer_of, items_to_parquet
from seraser_core.results.records import encode, seal
from seraser_core.results.shards import RunDirectory
from seraser_core.results.summary import aggregate
from seraser_core.results.sums import LATER
from seraser_core.results.verify import verify

COMMIT, ROWS, ATTEMPT = "commits/00001.0.json", "predictions/00001.parquet", "attempts/00001.0"
FILES = [
    "run.json",
    "plan/items.parquet",
    "plan/plan.json",
    COMMIT,
    ROWS,
    ATTEMPT,
    "report/files.json",
    "report/summary.parquet",
    "report/groups.parquet",
    "report/classes.parquet",
    "report/groups.png",
    "report/groups.svg",
    "report/report.html",
    "report/shortcuts.json",
]


@pytest.fixture(scope="module")
def _reported(scored, tmp_path_factory):
    """A finished run with its report, made once."""
    one = scored()
    directory = one.create(str(tmp_path_factory.mktemp("runs")))
    one.write(directory)
    aggregate(directory.url)
    return directory


@pytest.fixture
def reported(_reported, tmp_path):
    """A copy of the finished run with its report."""
    url = shutil.copytree(_reported.url, tmp_path / Path(_reported.url).name)
    return RunDirectory(str(url))


def problems(directory):
    """What is wrong, as text; also where it is so bad that there is no run."""
    try:
        return [str(problem) for problem in verify(directory.url).problems]
    except RunDirectoryError as error:
        return [str(error)]


def place(directory, name):
    """Where a file is; the name of an attempt ends with its hash."""
    if name != ATTEMPT:
        return Path(directory.path(name))
    (path,) = Path(directory.path("attempts")).glob("00001.*")
    return path


def put(path, data):
    """Write a file that no other name leads to: rows that are published have two."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def forge(directory, rows):
    """Put other rows in the place of shard 00001's, and let its commit name them."""
    mark = hashlib.sha256(rows).hexdigest()
    place(directory, ATTEMPT).unlink()
    for name in (ROWS, f"attempts/00001.0-{mark[:12]}.parquet"):
        put(Path(directory.path(name)), rows)
    path = Path(directory.path(COMMIT))
    commit = json.loads(path.read_text()) | {"sha256": mark, "bytes": len(rows)}
    path.write_bytes(encode(seal(commit)))


def replace(directory, change):
    """Write shard 00001 anew with `change` made to its table; its commit names the new file."""
    buffer = io.BytesIO()
    pq.write_table(change(pq.read_table(directory.path(ROWS))), buffer)
    forge(directory, buffer.getvalue())


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
    named = {name.partition("-")[0] if "attempts" in name else name for name in there}
    assert {name.replace("00000", "00001").replace("00002", "00001") for name in named} == {*FILES}


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_anywhere(reported, name):
    path = place(reported, name)
    right = path.read_bytes()
    for at in np.linspace(0, len(right) - 1, 10).astype(int):
        data = bytearray(right)
        data[at] ^= 1 << (at % 8)
        put(path, data)
        found = problems(reported)
        assert any(name in problem for problem in found), (at, found)
        if "00001" in name:
            others = [p for p in found if not p.startswith(f"shard 00001: {name}")]
            assert others in ([], [REPORT_OF_OTHERS] * (name == COMMIT))
        elif name.startswith("report/"):
            assert all(problem.startswith("report/") for problem in found)
    put(path, right)
    assert problems(reported) == []


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (COMMIT, f"shard 00001: {COMMIT}: is missing, though {ROWS} is there"),
        (ROWS, f"shard 00001: {ROWS}: is missing"),
        (ATTEMPT, f"shard 00001: {ATTEMPT}-"),
        ("plan/items.parquet", "plan/items.parquet: "),
        ("plan/plan.json", "plan/plan.json: "),
        ("report/files.json", "report/files.json: is missing"),
        ("report/summary.parquet", "report/summary.parquet: is missing"),
    ],
)
def test_a_missing_file(reported, name, problem):
    place(reported, name).unlink()
    first, *others = problems(reported)
    assert first.startswith(problem)
    assert others == [REPORT_OF_OTHERS] * (name == COMMIT)


REPORT_OF_OTHERS = (
    "report/files.json: the report was made of other shards or training counts than there are now"
)


@pytest.mark.parametrize("name", FILES[1:])
def test_a_file_that_was_cut_off(reported, name):
    path = place(reported, name)
    put(path, path.read_bytes()[:-9])
    first, *others = problems(reported)
    assert first.removeprefix("shard 00001: ").startswith(name)
    assert all(name in other or other == REPORT_OF_OTHERS for other in others)


def test_a_parquet_file_without_a_commit_and_a_commit_without_a_parquet_file(finished):
    Path(finished.path(COMMIT)).unlink()
    Path(finished.path("predictions/00002.parquet")).unlink()
    assert problems(finished) == [
        f"shard 00001: {COMMIT}: is missing, though {ROWS} is there",
        "shard 00002: predictions/00002.parquet: is missing",
    ]


@pytest.mark.parametrize("folders", [["predictions"], ["attempts"], ["commits"]])
def test_files_of_two_shards_that_were_swapped(finished, folders):
    swap(finished, folders)
    assert [problem.partition(f": {folders[0]}/")[0] for problem in problems(finished)] == [
        "shard 00000",
        "shard 00001",
    ]


def test_a_commit_that_says_it_is_of_another_shard(finished, edit):
    """As well as it can be forged."""
    swap(finished, ["predictions", "attempts", "commits"])
    for name in ("00000", "00001"):
        edit(finished, f"commits/{name}.0.json", lambda c, name=name: c.update(shard=name))
    found = [problem for problem in problems(finished) if "attempts/" not in problem]
    assert ["rows are not one per planned" in problem for problem in found] == [True, True]


def swap(directory, folders):
    """Swap the files of shards 00000 and 00001."""
    for folder in folders:
        first, second = sorted(Path(directory.path(folder)).iterdir())[:2]
        kept = first.read_bytes(), second.read_bytes()
        put(first, kept[1])
        put(second, kept[0])


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
    other = scored(seed=5)
    other = items_to_parquet(other.items, other.shards)
    Path(finished.path("plan/items.parquet")).write_bytes(other)
    (found,) = problems(finished)
    assert "plan/items.parquet is not the file that plan.json names" in found
    footer = footer_of(io.BytesIO(other))
    marks = {"items_sha256": other, "footer_sha256": footer}
    marks = {name: hashlib.sha256(data).hexdigest() for name, data in marks.items()}
    edit(finished, "plan/plan.json", lambda plan: plan.update(marks))
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
    assert first.startswith(f"shard 00001: {ATTEMPT}-")
    assert first.endswith("rows are not one per planned image and method, in order")


def test_a_row_that_failed_behind_the_back_of_its_commit(finished):
    replace(finished, lambda table: with_column(table, "status", ["error"] + ["ok"] * 9))
    found = problems(finished)
    assert f"shard 00001: {COMMIT}: its counts are not those of its rows" in found
    assert f"shard 00001: {COMMIT}: it does not name the rows that failed" in found
    sums = f"shard 00001: {COMMIT}: the sums of zero_shot are not those of its rows: ok"
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
    assert found.startswith(f"shard 00001: {COMMIT}: the sums of ")


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
    start = f"shard 00001: {COMMIT}: the sums of seraser are not those of its rows: correct"
    assert found.startswith(start)


@pytest.mark.parametrize("name", ["correct", "fixed", "rows", "changed"])
def test_a_changed_sum(finished, edit, name):
    def change(metrics):
        metrics["methods"]["seraser"][name] += 1

    edit(finished, COMMIT, change)
    (found,) = problems(finished)
    assert found == f"shard 00001: {COMMIT}: the sums of seraser are not those of its rows: {name}"


def test_a_commit_of_a_version_that_did_not_count_all_that_is_counted_now(finished, edit):
    def change(commit):
        for sums in commit["methods"].values():
            for name in LATER:
                del sums[name]

    edit(finished, COMMIT, change)
    assert problems(finished) == []
    tables = aggregate(finished.url)
    for name, column in (("groups", "fixed"), ("summary", "mean_confidence")):
        assert tables[name][column].null_count() == tables[name].height > 0
    assert problems(finished) == []


@pytest.mark.parametrize("name", ["nll", "brier"])
def test_a_changed_sum_that_kept_logits_give(scored, tmp_path, edit, name):
    run = scored(save_logits=True)
    directory = run.create(str(tmp_path))
    run.write(directory)
    assert problems(directory) == []
    change = lambda metrics: metrics["methods"]["seraser"].update({name: 9999.0})  # noqa: E731
    edit(directory, COMMIT, change)
    (found,) = problems(directory)
    assert found == f"shard 00001: {COMMIT}: the sums of seraser are not those of its rows: {name}"


def test_sums_of_a_method_that_are_missing(finished, edit):
    edit(finished, COMMIT, lambda commit: commit["methods"].pop("seraser"))
    (found,) = problems(finished)
    assert found.startswith(f"shard 00001: {COMMIT}: ")
    assert "seraser" in found


def test_a_parquet_file_of_another_run(scored, finished):
    other = scored(seed=0, name="other")
    other.change(fingerprint="0" * 64)
    replace(finished, lambda _: other.predictions(range(5, 10)))
    (found,) = problems(finished)
    assert found.startswith(f"shard 00001: {ATTEMPT}-")
    assert found.endswith("has another schema or fingerprint")


def test_a_commit_of_another_run(finished, edit):
    edit(finished, COMMIT, lambda commit: commit.update(fingerprint="0" * 64))
    assert problems(finished) == [f"shard 00001: {COMMIT}: is of another configuration or plan"]


def test_a_parquet_file_that_is_none(finished):
    forge(finished, b"not parquet")
    (found,) = problems(finished)
    assert "parquet: cannot be read" in found


@pytest.mark.parametrize(
    "name",
    [
        "predictions/9.parquet",
        "attempts/9.0-123456789abc.parquet",
        "commits/9.0.json",
        "commits/9.0.again",
    ],
)
def test_a_file_of_no_planned_shard(finished, name):
    path = Path(finished.path(name))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    assert problems(finished) == [f"{name}: belongs to no planned shard; remove it"]


def test_a_shard_that_is_wanted_again(finished):
    finished.compute_again("00001")
    assert problems(finished) == [
        "shard 00001: commits/00001.0.again: asks for the shard to be computed again"
    ]


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


@pytest.fixture
def rewrite(reported, edit):
    """Writes a table of the report anew, and its hash."""

    def write(name, change):
        path = Path(reported.path(f"report/{name}.parquet"))
        change(pl.read_parquet(path)).write_parquet(path)
        mark = hashlib.sha256(path.read_bytes()).hexdigest()
        edit(reported, "report/files.json", lambda f: f["files"].update({path.name: mark}))

    return write


def test_a_report_that_says_what_the_rows_do_not(reported, rewrite):
    rewrite("summary", lambda t: t.with_columns(accuracy=pl.lit(0.99), nll=pl.lit(0.1)))
    rewrite("groups", lambda t: t.head(1))
    assert problems(reported) == [
        "report/summary.parquet: is not what the predictions give: accuracy, nll",
        "report/groups.parquet: has other rows than its run's predictions give",
    ]


def test_a_report_of_an_earlier_version_is_verified_and_compared(reported, rewrite, tmp_path):
    rewrite("summary", lambda t: t.drop("mean_confidence"))
    rewrite("groups", lambda t: t.drop("fixed", "broken", "mcnemar_p"))
    assert problems(reported) == []
    url = create_comparison(str(tmp_path), "study", [ComparedRun("birds", "b32", reported.url)])
    write_comparison(url)
    assert Path(url, "report", "comparison.html").exists()
