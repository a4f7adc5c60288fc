"""The figures by which papers know a benchmark data set, against sums by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from made_reports import report_of
from random_scores import Scored, build

from seraser_core.cli.compare import show_comparison
from seraser_core.cli.summary_tables import show_summary
from seraser_core.results.comparison import ComparedRun, create_comparison, write_comparison
from seraser_core.results.reading import read_report
from seraser_core.results.significance import wilson
from seraser_core.results.summary import aggregate
from seraser_core.results.tables import make_tables
from seraser_core.results.verify import verify
from seraser_core.sources.benchmarks.registry import BENCHMARKS

COUNT = 400


def run_of(
    dataset: str, attributes: tuple[str, ...] = ("common", "counter"), **other: Any
) -> Scored:
    """A run of which one class has images on one side alone."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 5, COUNT).tolist()
    places = [0 if label == 4 else int(rng.random() < 0.3) for label in labels]
    run = build(COUNT, 100, labels=labels, places=places, attributes=attributes, **other)
    config = run.run.config.document()
    config["dataset"] = {"format": "benchmark", "name": dataset, "path": "/pictures"}
    run.change(config=config)
    return run


def literal(run: Scored, method: str) -> list[tuple[int, int, bool]]:
    """Label, attribute and whether it is right, of every image that did not fail."""
    return [
        (
            label := run.items["label"][i].as_py(),
            run.items["attribute"][i].as_py(),
            int(run.logits[method][i].argmax()) == label,
        )
        for i in range(COUNT)
        if i not in run.errors
    ]


def headline(run: Scored, folder: Any) -> pl.DataFrame:
    directory = run.create(str(folder))
    run.write(directory)
    tables = aggregate(directory.url)
    assert verify(directory.url).problems == []
    assert read_report(directory.url, "headline").equals(tables["headline"])
    return tables["headline"]


@pytest.mark.parametrize(
    ("name", "one", "other", "title"),
    [
        ("counter_animal", "common", "counter", "common minus counter"),
        ("imagenet9", "mixed same", "mixed rand", "background gap"),
    ],
)
def test_a_gap_is_pooled_and_a_class_mean(tmp_path, name, one, other, title):
    run = run_of(name, (one, other))
    table = headline(run, tmp_path)
    for method in run.run.method_ids:
        rows = literal(run, method)
        sides = [[right for _, a, right in rows if a == side] for side in (0, 1)]
        shares = [sum(side) / len(side) for side in sides]
        (low, high), (other_low, other_high) = (wilson(sum(s), len(s)) for s in sides)
        gap = shares[0] - shares[1]
        below = ((shares[0] - low) ** 2 + (other_high - shares[1]) ** 2) ** 0.5
        above = ((high - shares[0]) ** 2 + (shares[1] - other_low) ** 2) ** 0.5
        gaps, images = [], 0
        for label in range(4):  # class 4 has no image on the other side
            of_class = [
                [right for y, a, right in rows if (y, a) == (label, side)] for side in (0, 1)
            ]
            gaps.append(sum(of_class[0]) / len(of_class[0]) - sum(of_class[1]) / len(of_class[1]))
            images += sum(map(len, of_class))
        assert table.filter(method=method).drop("method").rows() == [
            (one, len(sides[0]), *map(pytest.approx, (shares[0], low, high))),
            (other, len(sides[1]), *map(pytest.approx, (shares[1], other_low, other_high))),
            (title, len(rows), *map(pytest.approx, (gap, gap - below, gap + above))),
            (f"{title} (class mean)", images, pytest.approx(sum(gaps) / 4), None, None),
        ]


def test_how_often_a_class_that_is_not_there_is_predicted(tmp_path):
    run = run_of("spurious_imagenet")
    table = headline(run, tmp_path)
    title = "taken for the class that is not there"
    for method in run.run.method_ids:
        rows = literal(run, method)
        hits = sum(right for *_, right in rows)
        shares = []
        for label in range(5):
            of_class = [right for y, _, right in rows if y == label]
            shares.append(sum(of_class) / len(of_class))
        low, high = wilson(hits, len(rows))
        assert table.filter(method=method).drop("method").rows() == [
            (title, len(rows), *map(pytest.approx, (hits / len(rows), low, high))),
            (f"{title} (class mean)", len(rows), pytest.approx(sum(shares) / 5), None, None),
        ]


def test_the_drop_without_the_object_is_that_of_zero_shot(tmp_path):
    run = run_of("hard_imagenet", methods=["zero_shot", "seraser", "background"])
    table = headline(run, tmp_path)
    rows = {name: literal(run, name) for name in run.run.method_ids}
    n, hits = len(rows["background"]), {m: sum(r for *_, r in rows[m]) for m in rows}
    whole, without = hits["zero_shot"], hits["background"]
    assert table.rows() == [
        ("background", "whole image", n, whole / n, *map(pytest.approx, wilson(whole, n))),
        ("background", "without the object", n, without / n, *wilson(without, n)),
        (
            *("background", "drop of accuracy without the object", n),
            *(pytest.approx((whole - without) / n), None, None),
        ),
    ]
    page = report_of(
        run_of("hard_imagenet", methods=["zero_shot", "background"]), tmp_path / "page"
    )["report.html"].decode()
    assert "drop of accuracy without the object" in page
    assert "background is the model on the image without the object" not in page, "it is no remedy"


@pytest.mark.parametrize(
    ("name", "attributes", "labels"),
    [
        ("waterbirds", ("land", "water"), None),
        ("hard_imagenet", ("land", "water"), None),  # it has not the method `background`
        ("imagenet9", (), None),
        ("counter_animal", ("usual", "unusual"), None),
        ("counter_animal", ("common", "counter"), [None] * 13),
        ("spurious_imagenet", ("a", "b"), [None] * 13),
    ],
)
def test_others_have_none(name, attributes, labels):
    run = build(labels=labels, attributes=attributes or ("a", "b"))
    config = run.run.config.document()
    config["dataset"] = {"format": "benchmark", "name": name, "path": "/pictures"}
    run.change(config=config, attributes=list(attributes))
    tables = make_tables(run.sums(range(run.items.num_rows)), run.run)
    assert "headline" not in tables


def test_every_gap_is_between_attributes_of_its_data_set():
    gaps = {name: one.headline for name, one in BENCHMARKS.items() if hasattr(one.headline, "one")}
    assert gaps.keys() == {"counter_animal", "imagenet9"}
    assert {gaps["counter_animal"].one, gaps["counter_animal"].other} == {
        *BENCHMARKS["counter_animal"].attributes.values()
    }


def test_a_page_of_misled_answers_says_that_less_is_better(tmp_path):
    said = "The labels are of classes that the images do not show"
    assert said in report_of(run_of("spurious_imagenet"), tmp_path)["report.html"].decode()
    other = report_of(run_of("counter_animal"), tmp_path / "other")["report.html"].decode()
    assert said not in other


def test_it_is_shown(tmp_path, capsys):
    run = run_of("counter_animal")
    page = report_of(run, tmp_path)["report.html"].decode()
    assert "<h3>Headline</h3>" in page
    assert "common minus counter (class mean)" in page
    assert "headline.parquet" in page
    url = run.create(str(tmp_path)).url
    tables = aggregate(url)
    show_summary(tables["summary"], tables["groups"], url, json=False)
    assert "common minus counter" in capsys.readouterr().out
    show_summary(tables["summary"], tables["groups"], url, json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["headline"] == tables["headline"].to_dicts()
    assert "<h3>Headline</h3>" not in report_of(build(), tmp_path / "other")["report.html"].decode()


def test_a_comparison_has_them_and_ranks_no_misled_answers(tmp_path, capsys):
    runs, tables = [], []
    for name in ("counter_animal", "spurious_imagenet", "waterbirds"):
        run = run_of(name, name=name)
        directory = run.create(str(tmp_path))
        run.write(directory)
        tables.append(aggregate(directory.url))
        runs.append(ComparedRun(name, "b32", directory.url))
    url = create_comparison(str(tmp_path), "study", runs)
    compared = write_comparison(url)
    table, found = compared["comparison"], compared["headlines"]
    assert found.height == sum(one["headline"].height for one in tables[:2]) == 8 + 4
    for name, one in zip(("counter_animal", "spurious_imagenet"), tables, strict=False):
        assert found.filter(dataset=name).drop("dataset", "model").equals(one["headline"])
    ranked = table.filter(pl.col("rank_accuracy").is_not_null())["dataset"].unique().sort()
    assert ranked.to_list() == ["counter_animal", "waterbirds"]
    assert compared["ranks"]["pairs"].to_list() == [2, 2]
    files = Path(url, "report")
    assert pl.read_csv(files / "headlines.csv").height == found.height
    for text in ((files / "comparison.md").read_text(), (files / "comparison.html").read_text()):
        assert "common minus counter (class mean)" in text
    show_comparison(compared, url, json=False)
    assert "common minus counter" in capsys.readouterr().out
    show_comparison(compared, url, json=True)
    assert json.loads(capsys.readouterr().out)["headlines"] == found.to_dicts()
