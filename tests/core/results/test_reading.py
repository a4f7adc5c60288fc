"""Scanning runs, and tables made from their rows."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from seraser_core.errors import RunDirectoryError
from seraser_core.results import scan
from seraser_core.results.counted import CountedRun
from seraser_core.results.counting import COUNTED, count_rows
from seraser_core.results.disagreements import disagreements
from seraser_core.results.schema import PREDICTIONS_SCHEMA
from seraser_core.results.shards import RunDirectory
from seraser_core.results.status import status
from seraser_core.results.summary import Tables, aggregate, is_audit
from seraser_core.results.tables import make_tables


def tables_of_rows(directory: RunDirectory) -> Tables:
    """The tables made from the prediction rows alone; they lack NLL and Brier score."""
    rows = scan(directory.url).select(COUNTED).collect()
    tables = make_tables(count_rows(rows, directory.run.method_ids), directory.run)
    if is_audit(tables["summary"]):
        tables["disagreements"] = disagreements([CountedRun(directory, directory.states())])
    return tables


def test_scan_reads_every_committed_row_of_every_run(scored, tmp_path):
    output = str(tmp_path / "runs")
    one, two = scored(), scored(8, 3, seed=4, name="other")
    first, second = one.create(output), two.create(output)
    one.write(first, "00000", "00002")
    two.write(second)
    # Written, but not committed:
    one.write(first, "00001")
    Path(first.path("commits/00001.0.json")).unlink()
    rows = scan(output).collect()
    counts = dict(rows.group_by("run_id").len().iter_rows())
    assert counts == {one.run.run_id: 2 * 8, two.run.run_id: 2 * 8}
    assert scan(second.url).collect().equals(rows.filter(pl.col("dataset") == "other"))


def test_a_glob_reads_what_scan_reads(finished):
    output = str(Path(finished.url).parent)
    glob = pl.scan_parquet(f"{output}/*/predictions/*.parquet")
    assert_frame_equal(glob.collect(), scan(output).collect(), check_row_order=False)


def test_scan_of_runs_with_signs_that_globs_know(scored, tmp_path):
    run = scored()
    directory = run.create(str(tmp_path / "runs [1] é*"))
    run.write(directory)
    assert scan(directory.url).select(pl.len()).collect().item() == 26


def test_scan_of_a_run_without_shards_is_empty(small, tmp_path):
    directory = small.create(str(tmp_path))
    rows = scan(directory.url).collect()
    assert rows.height == 0
    assert rows.columns == PREDICTIONS_SCHEMA.names


def test_scan_of_a_folder_without_runs(tmp_path):
    with pytest.raises(RunDirectoryError, match="is no run directory and holds none"):
        scan(str(tmp_path))


@pytest.mark.parametrize("place", ["foo://x", "a file"])
def test_scan_of_places_that_hold_no_runs(tmp_path, place):
    (tmp_path / "a file").write_text("")
    with pytest.raises(RunDirectoryError):
        scan(place if "://" in place else str(tmp_path / place))


def test_scan_on_s3(small, bucket):
    directory = small.create(f"{bucket}/runs é")
    small.write(directory)
    expected = small.predictions(range(13))
    assert scan(f"{bucket}/runs é").collect().equals(pl.DataFrame(expected))
    assert scan(directory.url).filter(pl.col("status") == "error").collect().height == 2
    aggregate(directory.url)
    table = pl.read_parquet(f"{directory.url}/report/summary.parquet")
    assert table["method"].to_list() == ["zero_shot", "seraser"]


@pytest.mark.parametrize("known", ["all", "no labels", "no attributes", "all failed"])
def test_tables_of_the_sums_equal_those_of_the_rows(scored, tmp_path, known):
    run = scored(
        labels=[None] * 13 if known == "no labels" else None,
        places=[None] * 13 if known == "no attributes" else None,
        failed=range(13) if known == "all failed" else (2,),
    )
    directory = run.create(str(tmp_path))
    run.write(directory)
    merged, counted = aggregate(directory.url), tables_of_rows(directory)
    assert merged["summary"].height == 2
    for name, table in merged.items():
        lacking = [c for c in ("nll", "brier") if c in table.columns]
        assert_frame_equal(
            table.drop(lacking), counted[name].drop(lacking), rel_tol=1e-9, abs_tol=1e-9
        )
        written = pl.read_parquet(directory.path("report", f"{name}.parquet"))
        assert_frame_equal(written, table)
    assert Path(directory.path("report/report.html")).stat().st_size > 1000
    assert Path(directory.path("report/groups.png")).exists() == (known == "all")


def test_aggregate_wants_every_shard_or_is_told_not_to(small, tmp_path):
    directory = small.create(str(tmp_path))
    with pytest.raises(RunDirectoryError, match="3 of 3 shards are missing, the first is 00000"):
        aggregate(directory.url, partial=True)
    small.write(directory, "00001")
    with pytest.raises(RunDirectoryError, match="2 of 3 shards are missing"):
        aggregate(directory.url)
    assert aggregate(directory.url, partial=True)["summary"]["images"].to_list() == [5, 5]
    assert "2 of 3 shards" in Path(directory.path("report/report.html")).read_text()


def test_a_run_without_a_single_good_row_says_so(scored, tmp_path, caplog):
    run = scored(failed=range(13))
    directory = run.create(str(tmp_path))
    run.write(directory)
    said = []
    aggregate(directory.url, report=said.append)
    assert said == ["WARNING: every image failed: undecodable 13"]
    assert caplog.messages == []
    aggregate(directory.url)
    assert caplog.messages == ["every image failed: undecodable 13"]


def test_a_method_without_a_single_good_row_is_named(scored, tmp_path):
    run = scored()
    run.logits["seraser"][:] = float("nan")
    directory = run.create(str(tmp_path))
    run.write(directory)
    said = []
    aggregate(directory.url, report=said.append)
    assert said == ["WARNING: every image failed under seraser: nan_output 12, undecodable 1"]
    first = status(directory.url)["first_errors"]
    assert first[0].startswith("item é 0000 under seraser: nan_output: "), "zero-shot could"
    assert first[2].startswith("item é 0002: undecodable: ")


def test_groups_whose_names_are_alike_stay_apart(scored, tmp_path):
    """``a`` in ``b / x`` and ``a / b`` in ``x`` are both called ``a / b / x``."""
    run = scored(
        count=40,
        classes=["a", "a / b"],
        attributes=["b / x", "x"],
        labels=[0, 0, 1, 1] * 10,
        places=[0, 1] * 20,
        failed=(),
    )
    directory = run.create(str(tmp_path))
    run.write(directory)
    merged, counted = aggregate(directory.url), tables_of_rows(directory)
    assert_frame_equal(merged["groups"], counted["groups"], rel_tol=1e-9)
    mine = merged["groups"].filter(pl.col("method") == "seraser")
    assert mine.select("label", "attribute", "n").rows() == [
        (label, place, 10) for label in (0, 1) for place in (0, 1)
    ]
    assert mine["group"].n_unique() == 3
    right = scan(directory.url).filter(pl.col("method") == "seraser").collect()
    for row in mine.iter_rows(named=True):
        rows = right.filter(
            (pl.col("label") == row["label"]) & (pl.col("attribute") == row["attribute"])
        )
        assert row["accuracy"] == rows["correct"].mean()


def test_status_counts_what_is_there(small, tmp_path):
    directory = small.create(str(tmp_path))
    nothing = status(directory.url)
    assert nothing["images"] == {"done": 0, "total": 13}
    assert not nothing["finished"]
    small.write(directory, "00000", "00002")
    directory.fail("00001", OSError("the bucket is gone"), 4)
    some = status(directory.url)
    assert some["shards"] == {"done": 2, "total": 3, "failed": 1}
    assert some["images"] == {"done": 8, "total": 13}
    assert some["rows"] == 16
    assert some["errors"] == {m: {"undecodable": 1} for m in ("zero_shot", "seraser")}
    assert some["failures"] == {"00001": "OSError: the bucket is gone (attempt 4)"}
    small.write(directory, "00001")
    assert status(directory.url)["finished"]
    assert status(directory.url)["failures"] == {}


def test_a_report_shows_hostile_names_as_text(scored, tmp_path):
    names = ["costs $\\foo and $5", "<script>alert(1)</script>", "a & b", "b\"'", "x", "y", "z"]
    run = scored(classes=names, attributes=["<img src=x onerror=alert(2)>", "\n{{ 7 * 7 }}"])
    directory = run.create(str(tmp_path))
    run.write(directory)
    aggregate(directory.url)
    page = Path(directory.path("report/report.html")).read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "{{ 7 * 7 }}" in page


def page_of(run, folder):
    directory = run.create(str(folder))
    run.write(directory)
    aggregate(directory.url)
    return Path(directory.path("report/report.html")).read_text()


def test_a_report_of_a_run_without_labels_shows_how_to_find_disagreements(scored, tmp_path):
    query = 'rows.filter(pl.col("prediction") != pl.col("zero_shot_prediction"))'
    unlabelled = page_of(scored(labels=[None] * 13, places=[None] * 13), tmp_path / "audit")
    assert query in unlabelled
    assert 'pl.col("correct")' not in unlabelled
    labelled = page_of(scored(), tmp_path / "labelled")
    assert query not in labelled
    assert 'pl.col("correct")' in labelled


def test_a_report_shows_top5_where_it_says_something(scored, tmp_path):
    assert ">top5<" in page_of(scored(), tmp_path / "seven")
    few = page_of(scored(60, classes=["a", "b", "c", "d", "e"]), tmp_path / "five")
    assert ">top5<" not in few
    of_methods = few[few.index('id="methods"') :]
    places = [of_methods.index(f">{name}<") for name in ("gap", "mcnemar p", "nll")]
    assert places == sorted(places)


def test_a_report_of_many_classes_and_groups_shows_the_worst(scored, tmp_path):
    count = 1500
    names = [f"class {i:04}" for i in range(count)]
    labels = [i % count for i in range(2 * count)]
    run = scored(2 * count, 1000, classes=names, labels=labels, failed=(), places=labels)
    # Every image is classified rightly but those of two classes.
    for logits in (run.zero_shot, *run.logits.values()):
        logits[:] = 0
        logits[range(2 * count), labels] = 9
    wrong = [i for i, label in enumerate(labels) if label in (777, 1234)]
    run.logits["seraser"][wrong] = 0
    run.logits["seraser"][wrong, 0] = 9
    page = page_of(run, tmp_path)
    for name in ("classes", "groups"):
        file = f'<a href="{name}.parquet">{name}.parquet</a>'
        assert page.count(f"200 of 3,000 rows; all are in {file}.") == 1
    tables = page[page.index("<details>") :]
    for name in ("class 0777", "class 1234", "class 0000"):
        assert tables.count(f"<td>{name}</td>") == 2  # a row of each method
    assert tables.count('<tr><th scope="row">zero_shot</th><td>class') == 2 * 100
    assert len(page) < 2**18
