"""Which average is which, and groups that are too small to be the worst."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from seraser_core.results.comparison import ComparedRun, create_comparison, write_comparison
from seraser_core.results.summary import aggregate, is_finished
from seraser_core.results.tables import make_tables, small_groups_text
from seraser_core.results.verify import verify

WATERBIRDS = {"0 0": 3498, "0 1": 184, "1 0": 56, "1 1": 1057}
BIRDS = ["landbird", "waterbird"]
RIGHT = {(0, 0): (9, 10), (0, 1): (6, 12), (1, 0): (2, 5), (1, 1): (16, 20)}
"""Group -> images classified rightly, of how many."""


@pytest.fixture
def birds(scored):
    """Makes a run in which so many images of every group are classified rightly."""

    def make(right=RIGHT, train_counts=WATERBIRDS, **options):
        labels = [label for (label, _), (_, n) in right.items() for _ in range(n)]
        places = [place for (_, place), (_, n) in right.items() for _ in range(n)]
        hits = [i < correct for correct, n in right.values() for i in range(n)]
        run = scored(
            len(labels), 20, classes=BIRDS, labels=labels, places=places, failed=(), **options
        )
        said = np.where(hits, labels, 1 - np.array(labels))
        for logits in (run.zero_shot, *run.logits.values()):
            logits[:] = np.eye(2)[said] * 5
        if train_counts is not None:
            run.change(train_counts=train_counts)
        return run

    return make


def summary_of(run) -> dict:
    return make_tables(run.sums(range(run.items.num_rows)), run.run)["summary"].row(1, named=True)


def test_the_three_averages_of_waterbirds(birds):
    """By hand: 33 of 47; (9/10, 1/2, 2/5, 4/5) by training counts; and their mean."""
    row = summary_of(birds())
    assert row["accuracy"] == pytest.approx(33 / 47, rel=1e-12)
    shares = [Fraction(9, 10), Fraction(1, 2), Fraction(2, 5), Fraction(4, 5)]
    by_hand = sum(n * share for n, share in zip(WATERBIRDS.values(), shares, strict=True)) / 4795
    assert float(by_hand) == pytest.approx(0.85676746611, rel=1e-10)
    assert row["adjusted_accuracy"] == pytest.approx(float(by_hand), rel=1e-12)
    assert row["group_mean"] == pytest.approx(0.65, rel=1e-12)
    assert row["worst_group"] == "waterbird / land"


@pytest.mark.parametrize(
    ("train_counts", "expected"),
    [
        (None, None),
        ({}, None),
        ({"0 0": 1, "0 1": 0, "1 0": 0, "1 1": 0}, 0.9),
        ({"0 0": 1, "0 1": 1, "1 0": 1, "1 1": 1}, 0.65),
        ({"0 0": 0, "0 1": 0, "1 0": 0, "1 1": 0}, None),
        # Training has images of a group that has none here: nothing can stand for it.
        (WATERBIRDS | {"1 2": 1}, None),
        (WATERBIRDS | {"1 2": 0}, 0.85676746611),
    ],
)
def test_the_adjusted_average_is_known_when_every_group_is(birds, train_counts, expected):
    found = summary_of(birds(train_counts=train_counts))["adjusted_accuracy"]
    assert found == (expected if expected is None else pytest.approx(expected, rel=1e-10))


def test_groups_of_fewer_than_five_images_are_no_worst_group(birds):
    right = {(0, 0): (9, 10), (0, 1): (1, 4), (1, 0): (3, 5), (1, 1): (0, 1)}
    run = birds(right)
    row = summary_of(run)
    assert (row["worst_group"], row["worst_group_n"], row["small_groups"]) == (
        "waterbird / land",
        5,
        2,
    )
    assert row["gap"] == pytest.approx(13 / 20 - 3 / 5)
    # The other averages are over all groups.
    assert row["group_mean"] == pytest.approx((0.9 + 0.25 + 0.6 + 0) / 4)
    table = make_tables(run.sums(range(20)), run.run)["groups"].filter(
        pl.col("method") == "seraser"
    )
    assert table["small"].to_list() == [False, True, False, True]
    text = small_groups_text(make_tables(run.sums(range(20)), run.run)["summary"])
    assert text == "left out of the worst group: 2 groups of fewer than 5 images"


def test_without_a_group_of_five_there_is_no_worst_group(birds):
    run = birds(dict.fromkeys(RIGHT, (1, 4)))
    row = summary_of(run)
    assert {name: row[name] for name in row if "worst" in name or name == "gap"} == {
        "worst_group": None,
        "worst_group_accuracy": None,
        "worst_group_n": None,
        "worst_group_low": None,
        "worst_group_high": None,
        "gap": None,
    }
    assert row["group_mean"] == 0.25
    text = small_groups_text(make_tables(run.sums(range(16)), run.run)["summary"])
    assert text == "there is no worst group: of 4 groups, none has 5 images"


@pytest.mark.parametrize("right", [RIGHT, {(0, 0): (3, 9), (1, 1): (4, 9), (1, 0): (0, 1)}])
def test_report_and_comparison_say_which_average_is_which(birds, tmp_path, right):
    run = birds(right)
    directory = run.create(str(tmp_path))
    run.write(directory)
    aggregate(directory.url)
    page = Path(directory.path("report/report.html")).read_text()
    url = create_comparison(str(tmp_path), "study", [ComparedRun("birds", "b32", directory.url)])
    write_comparison(url)
    markdown = Path(url, "report", "comparison.md").read_text()
    latex = Path(url, "report", "comparison.tex").read_text()
    csv = Path(url, "report", "comparison.csv").read_text()
    known = right is RIGHT
    for text in (page, markdown, latex):
        assert "average (pooled)" in text
        assert "average (group mean)" in text
        assert ("average (adjusted)" in text) == known
        pooled = "70.2" if known else "36.8"
        assert f"{pooled} %" in text.replace("\\%", "%")
    for text in (page, markdown):
        said = "Left out of the worst group: 1 group of fewer than 5 images." in text
        assert said == (not known)
    header, first, *_ = csv.splitlines()
    assert header.split(",")[6:9] == ["accuracy", "adjusted_accuracy", "group_mean"]
    assert float(first.split(",")[6]) == pytest.approx(33 / 47 if known else 7 / 19)


def test_a_report_made_with_other_training_counts_is_made_again(birds, tmp_path, edit):
    run = birds(train_counts={})
    directory = run.create(str(tmp_path))
    run.write(directory)
    aggregate(directory.url)
    assert is_finished(directory.url)
    edit(directory, "run.json", lambda document: document.update(train_counts=WATERBIRDS))
    assert not is_finished(directory.url)
    assert any("other shards or training counts" in str(p) for p in verify(directory.url).problems)
    tables = aggregate(directory.url)
    assert tables["summary"]["adjusted_accuracy"][0] == pytest.approx(0.85676746611, rel=1e-10)
    assert is_finished(directory.url)
    assert verify(directory.url).problems == []
