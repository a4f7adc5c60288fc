"""The table of several runs against figures worked out by hand, and its files."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from seraser_core import storage
from seraser_core.errors import ConfigError, RunDirectoryError
from seraser_core.results import scan
from seraser_core.results.comparison import (
    ComparedRun,
    compare_runs,
    create_comparison,
    mean_ranks,
    write_comparison,
)
from seraser_core.results.reading import read_report
from seraser_core.results.records import ComparedRecord
from seraser_core.results.shards import RunDirectory
from seraser_core.results.summary import aggregate, is_finished

Figures = dict[str, dict[str, Any]]
HOSTILE = 'a | b & c_{d} 50% \\ <x>, "q"\n$é'

BIRDS: Figures = {
    "zero_shot": {"accuracy": 0.5, "worst_group_accuracy": 0.25, "mcnemar_p": 1.0},
    "seraser": {"accuracy": 0.75, "worst_group_accuracy": 0.5, "mcnemar_p": 0.01},
    "tpt": {"accuracy": 0.75, "worst_group_accuracy": 0.125, "mcnemar_p": 0.04},
}
PETS: Figures = {
    "zero_shot": {"accuracy": 0.9, "worst_group_accuracy": 0.5, "mcnemar_p": 1.0},
    "seraser": {"accuracy": 0.8, "worst_group_accuracy": 0.5, "mcnemar_p": 0.03},
    "tpt": {"accuracy": 0.7, "worst_group_accuracy": 0.5, "mcnemar_p": 0.5},
}


@pytest.fixture
def compared(scored, tmp_path):
    """Makes a run of four images in two shards, whose summary holds the given figures."""

    def make(name: str, figures: Figures, output: str | None = None) -> RunDirectory:
        one = scored(4, 2, methods=list(figures), name=name)
        directory = one.create(output or str(tmp_path / "runs"))
        one.write(directory)
        rows = [{"method": method, "images": 4, **found} for method, found in figures.items()]
        summary = io.BytesIO()
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(summary)
        storage.write_bytes(directory.path("report", "summary.parquet"), summary.getvalue())
        return directory

    return make


@pytest.fixture
def table(compared) -> Callable[..., pl.DataFrame]:
    """Makes the table of runs, given as (data set, model, figures)."""

    def make(*runs: tuple[str, str, Figures]) -> pl.DataFrame:
        return compare_runs(
            [
                ComparedRecord(
                    dataset=dataset,
                    model=model,
                    run_id=f"run {place}",
                    run=compared(f"run-{place}", figures).url,
                )
                for place, (dataset, model, figures) in enumerate(runs)
            ]
        )

    return make


def test_one_row_per_data_set_model_and_method(table):
    found = table(("birds", "b32", BIRDS), ("pets", "b32", PETS), ("birds", "l14", BIRDS))
    assert found.select("dataset", "model", "method", "run_id").rows() == [
        ("birds", "b32", "zero_shot", "run 0"),
        ("birds", "b32", "seraser", "run 0"),
        ("birds", "b32", "tpt", "run 0"),
        ("birds", "l14", "zero_shot", "run 2"),
        ("birds", "l14", "seraser", "run 2"),
        ("birds", "l14", "tpt", "run 2"),
        ("pets", "b32", "zero_shot", "run 1"),
        ("pets", "b32", "seraser", "run 1"),
        ("pets", "b32", "tpt", "run 1"),
    ]
    assert found["accuracy"].to_list() == [0.5, 0.75, 0.75, 0.5, 0.75, 0.75, 0.9, 0.8, 0.7]
    assert found["images"].to_list() == [4] * 9
    assert found["seconds_per_image"].to_list() == [3 / 4] * 9  # 1.5 s in each of two shards


def test_equal_methods_share_their_mean_rank(table):
    found = table(("birds", "b32", BIRDS), ("pets", "b32", PETS))
    assert found["rank_accuracy"].to_list() == [3, 1.5, 1.5, 1, 2, 3]
    assert found["rank_worst_group"].to_list() == [2, 1, 3, 2, 2, 2]


def test_mean_ranks(table):
    found = mean_ranks(table(("birds", "b32", BIRDS), ("pets", "b32", PETS)))
    assert found.to_dicts() == [
        {
            "method": method,
            "pairs": 2,
            "mean_rank_accuracy": accuracy,
            "mean_rank_worst_group": worst,
        }
        for method, accuracy, worst in [
            ("zero_shot", 2.0, 2.0),
            ("seraser", 1.75, 1.5),
            ("tpt", 2.25, 2.5),
        ]
    ]


def test_a_rank_among_fewer_methods_does_not_count(table):
    whole = table(("birds", "b32", BIRDS), ("pets", "b32", PETS))
    tpt_alone = whole.filter((pl.col("dataset") == "birds") | (pl.col("method") == "tpt"))
    assert mean_ranks(tpt_alone)["pairs"].to_list() == [1, 1, 1]
    assert mean_ranks(tpt_alone).equals(mean_ranks(whole.filter(pl.col("dataset") == "birds")))


def test_tests_are_adjusted_over_all_rows_but_those_of_zero_shot(table):
    found = table(("birds", "b32", BIRDS), ("pets", "b32", PETS))
    assert found["mcnemar_p"].to_list() == [None, 0.01, 0.04, None, 0.03, 0.5]
    # Of four tests: 4 * 0.01, 3 * 0.03, the larger of that and 2 * 0.04, 0.5.
    adjusted = found["mcnemar_p_holm"].to_list()
    nine = pytest.approx(0.09)
    assert adjusted == [None, pytest.approx(0.04), nine, None, nine, 0.5]


def test_methods_of_a_pair_are_ranked_together_whatever_run_they_are_of(table):
    first = {"zero_shot": {"accuracy": 0.5}, "seraser": {"accuracy": 0.75}}
    found = table(("birds", "b32", first), ("birds", "b32", {"tpt": {"accuracy": 0.6}}))
    assert found["rank_accuracy"].to_list() == [3, 1, 2]


def test_what_is_not_defined_is_null(table):
    audit: Figures = {"zero_shot": {"changed": 0}, "seraser": {"changed": 3}}
    ungrouped: Figures = {"zero_shot": {"accuracy": 0.5}, "seraser": {"accuracy": 0.25}}
    found = table(("audit", "b32", audit), ("plain", "b32", ungrouped))
    known = ("dataset", "model", "method", "run_id", "images", "seconds_per_image")
    partly = ("accuracy", "changed", "rank_accuracy")
    for name in found.columns:
        nulls = 0 if name in known else 2 if name in partly else 4
        assert found[name].null_count() == nulls, name
    assert found["rank_accuracy"].to_list() == [None, None, 1, 2]
    assert mean_ranks(found).rows() == [("zero_shot", 1, 1.0, None), ("seraser", 1, 2.0, None)]


def test_the_table_holds_what_the_run_reports(scored, tmp_path):
    one = scored(40, 7, methods=["zero_shot", "seraser"])
    directory = one.create(str(tmp_path))
    one.write(directory)
    summary = aggregate(directory.url)["summary"]
    run = ComparedRecord(dataset="d", model="m", run_id="r", run=directory.url)
    found = compare_runs([run])
    shared = [name for name in found.columns if name in summary.columns and name != "mcnemar_p"]
    assert {"errors", "worst_group", "worst_group_low", "gap", "group_mean", "fixed"} < {*shared}
    assert_frame_equal(found.select(shared), summary.select(shared))
    assert found["mcnemar_p"].to_list() == [None, summary["mcnemar_p"][1]]
    assert found["mcnemar_p_holm"].to_list() == [None, summary["mcnemar_p"][1]]


def listed(directory: RunDirectory, dataset: str = "birds", model: str = "b32") -> ComparedRun:
    return ComparedRun(dataset, model, directory.url)


def test_the_same_runs_are_the_same_comparison(compared, tmp_path):
    one, two = listed(compared("one", BIRDS)), listed(compared("two", PETS), "pets")
    output = str(tmp_path / "runs")
    url = create_comparison(output, "study", [one, two])
    name = Path(url).name
    assert name.startswith("study-compare-")
    assert len(name.removeprefix("study-compare-")) == 12
    document = json.loads(Path(url, "comparison.json").read_text())
    assert document["name"] == "study"
    assert document["runs"][1] == {
        "dataset": "pets",
        "model": "b32",
        "run_id": Path(two.url).name,
        "run": two.url,
    }
    assert create_comparison(output, "study", [two, one]) == url
    assert create_comparison(output, "study", [one]) != url
    # What reads all runs of a folder takes no comparison for one.
    assert scan(output).collect()["run_id"].n_unique() == 2


def test_the_same_run_twice_is_refused(compared, tmp_path):
    one = compared("one", BIRDS)
    with pytest.raises(ConfigError, match=r"one-[0-9a-f]{12} is there more than once"):
        create_comparison(str(tmp_path), "study", [listed(one), listed(one, model="other")])


@pytest.mark.parametrize("where", ["disk", "s3"])
def test_files_hold_the_table_whatever_the_names(compared, tmp_path, where, request):
    output = str(tmp_path / "runs") if where == "disk" else request.getfixturevalue("bucket")
    birds = {name: {**found, "worst_group": HOSTILE} for name, found in BIRDS.items()}
    runs = [
        listed(compared("one", birds, output), model=HOSTILE),
        listed(compared("two", PETS, output), "pets", HOSTILE),
    ]
    url = create_comparison(output, "study", runs)
    tables = write_comparison(url)
    found = tables["comparison"]
    assert found["model"].to_list() == [HOSTILE] * 6

    def read(ending: str) -> bytes:
        return storage.read_bytes(f"{url}/report/comparison.{ending}")

    assert pl.read_parquet(io.BytesIO(read("parquet"))).equals(found)
    assert pl.read_csv(io.BytesIO(read("csv")), schema=found.schema).equals(found)
    markdown, latex = read("md").decode(), read("tex").decode()
    assert markdown.count('a \\| b & c\\_{d} 50% \\\\ \\<x>, "q" $é |') == 6 + 3
    assert "| zero_shot | 2 | 2.000 | 2.000 |" in markdown
    assert latex.count("a \\textbar{} b \\& c\\_\\{d\\} 50\\% \\textbackslash{}") == 6 + 3
    # Nothing is null throughout but what no run knows.
    header = markdown.splitlines()[2]
    assert "worst group low" not in header
    assert "mcnemar p holm" in header


def test_a_comparison_without_labels_has_no_ranks(compared, tmp_path):
    one = listed(compared("one", {"zero_shot": {"changed": 0}, "seraser": {"changed": 1}}))
    url = create_comparison(str(tmp_path), "study", [one])
    write_comparison(url)
    assert "ranks" not in Path(url, "report", "comparison.md").read_text()


def test_what_cannot_be_compared_is_named(compared, tmp_path):
    with pytest.raises(RunDirectoryError, match="is no comparison"):
        write_comparison(str(tmp_path))
    one = compared("one", BIRDS)
    url = create_comparison(str(tmp_path), "study", [listed(one)])
    summary = Path(one.path("report", "summary.parquet"))
    summary.write_bytes(b"no table")
    with pytest.raises(RunDirectoryError, match=r"summary\.parquet is damaged"):
        write_comparison(url)
    summary.unlink()
    with pytest.raises(
        RunDirectoryError, match=r"summary\.parquet is missing\nhint: `seraser report"
    ):
        write_comparison(url)
    Path(url, "comparison.json").write_text("{}")
    with pytest.raises(RunDirectoryError, match=r"comparison\.json is damaged"):
        write_comparison(url)


def test_a_run_is_finished_when_its_report_is_of_all_shards(small, tmp_path):
    directory = small.create(str(tmp_path))
    small.write(directory, "00000")
    aggregate(directory.url, partial=True)
    assert not is_finished(directory.url)
    small.write(directory)
    assert not is_finished(directory.url), "the report is that of one shard"
    aggregate(directory.url)
    assert is_finished(directory.url)
    assert read_report(directory.url, "summary")["images"].to_list() == [13, 13]
    read_report(directory.url, "summary").head(1).write_parquet(
        directory.path("report", "summary.parquet")
    )
    assert not is_finished(directory.url), "the report lacks a method"
    Path(directory.path("report", "summary.parquet")).unlink()
    assert not is_finished(directory.url)
