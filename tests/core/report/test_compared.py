"""The page of a comparison."""

from __future__ import annotations

import polars as pl
import pytest
from made_reports import comparison_of
from random_scores import build

from seraser_core.display import percent
from seraser_core.report.compared import Compared, sentence


def ranks(average: dict[str, float], worst: dict[str, float | None], pairs: int) -> pl.DataFrame:
    schema = {"mean_rank_worst_group": pl.Float64}
    columns = {
        "method": list(average),
        "pairs": pairs,
        "mean_rank_accuracy": list(average.values()),
        "mean_rank_worst_group": list(worst.values()),
    }
    return pl.DataFrame(columns, schema_overrides=schema)


@pytest.mark.parametrize(
    ("average", "worst", "pairs", "said"),
    [
        (
            {"zero_shot": 2.0, "seraser": 1.0},
            {"zero_shot": 2.0, "seraser": 1.0},
            4,
            "Over 4 pairs of data set and model, seraser is best, by the pooled average and in "
            "the worst group.",
        ),
        (
            {"zero_shot": 1.2, "seraser": 1.8},
            {"zero_shot": 2.0, "seraser": 1.0},
            1,
            "On this data set, zero_shot has the best pooled average, and seraser the best worst "
            "group.",
        ),
        (
            {"zero_shot": 1.5, "seraser": 1.5},
            {"zero_shot": None, "seraser": None},
            2,
            "Over 2 pairs of data set and model, zero_shot and seraser have the best pooled "
            "average.",
        ),
    ],
)
def test_the_sentence_names_the_best(average, worst, pairs, said):
    assert sentence(ranks(average, worst, pairs), 4) == said


def test_the_sentence_of_audits():
    assert "no method can be ranked" in sentence(ranks({}, {}, 0), 2)


def test_the_page_shows_every_run_before_and_after(tmp_path):
    page = comparison_of(tmp_path).decode()
    runs = page[page.index('<section id="runs"') :]
    assert runs.count("<caption>Average (pooled)</caption>") == 2
    assert runs.count("<caption>Worst group</caption>") == 1
    assert runs.count('class="strip"') == 2 * 3
    for name in ("birds", "pets"):
        assert f'href="../../{name}-' in runs


def test_without_labels_the_page_shows_what_the_methods_change(tmp_path):
    page = comparison_of(tmp_path, labelled=False).decode()
    runs = page[page.index('<section id="runs"') : page.index('<section id="made"')]
    assert runs.count("<caption>Other answer than zero_shot") == 2
    assert runs.count("<caption>Share of each class among the answers") == 2 * 2
    assert "clearly" not in runs, "a larger share of a class is neither better nor worse"
    assert "McNemar" not in runs
    url = next(tmp_path.glob("birds-*"))
    summary = pl.read_parquet(url / "report" / "summary.parquet").filter(method="seraser")
    (changed,), (n,) = summary["changed"], summary["images"] - summary["errors"]
    assert f"seraser, changed answers, birds of the savanna: {percent(changed / n)} (95 %" in runs
    assert "Most answers changed" in page


def test_zero_shot_under_another_id_is_what_the_others_are_held_against():
    run = build(methods=["plain", "seraser"])
    plain, seraser = run.run.model_dump()["methods"]
    run.change(methods=[plain | {"name": "zero_shot"}, seraser])
    answers = [
        {"method": method, "prediction": c, "prediction_name": f"c{c}", "images": n, "n": 10}
        for method, c, n in [("plain", 0, 10), ("seraser", 0, 8), ("seraser", 1, 2)]
    ]
    summary = [
        {"method": method, "images": 10, "errors": 0, "n": 0, "changed": changed}
        for method, changed in (("plain", 0), ("seraser", 2))
    ]
    (change,) = Compared("pets", "b32", "pets-1", "", run.run, summary, [], answers).changes
    assert change.method == "seraser"
    shifts = {one.name: (one.before.hits, one.after.hits) for one in change.shifts}
    assert shifts == {"c0": (10, 8), "c1": (0, 2)}
