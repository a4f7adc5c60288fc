"""Scores reduced to a few numbers per image, and rows of many classes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from seraser_core.results import outcomes
from seraser_core.results.outcomes import join, reduce_scores, row_scores
from seraser_core.results.tables import make_tables
from seraser_core.results.verify import verify

NAMES = ("finite", "top", "top_probabilities", "zero_shot", "zero_shot_confidence", "nll", "brier")


def some_scores(rows: int, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list]:
    """Scores with many ties, some of them no numbers, and labels of which some are unknown."""
    rng = np.random.default_rng(seed)
    logits = rng.integers(-3, 3, (rows, count)).astype(np.float32)
    zero_shot = rng.integers(-3, 3, (rows, count)).astype(np.float32)
    logits[3, 0] = np.nan
    zero_shot[5, 1] = np.inf
    return logits, zero_shot, [None if i % 3 == 0 else i % count for i in range(rows)]


@pytest.mark.parametrize("count", [2, 4, 5, 6, 300])
def test_each_image_is_that_of_the_whole_softmax_sorted(count):
    """Against sorting all classes of every image, one at a time; of equal ones the first."""
    logits, zero_shot, labels = some_scores(12, count)
    found = reduce_scores("m", logits, zero_shot, labels)
    for i in range(12):
        finite = bool(np.isfinite(logits[i]).all() and np.isfinite(zero_shot[i]).all())
        assert found.finite[i] == finite
        if not finite:
            continue
        z = [float(x) for x in logits[i]]
        p = np.exp(np.array(z) - max(z)) / sum(np.exp(np.array(z) - max(z)))
        order = sorted(range(count), key=lambda c: (-z[c], c))[:5]
        assert found.top[i].tolist() == order
        assert found.top_probabilities[i] == pytest.approx(p[order], rel=1e-12)
        assert found.zero_shot[i] == zero_shot[i].argmax()
        if labels[i] is None:
            assert np.isnan([found.nll[i], found.brier[i]]).all()
            continue
        assert found.nll[i] == pytest.approx(-np.log(p[labels[i]]), rel=1e-12)
        others = sum((p[c] - (c == labels[i])) ** 2 for c in range(count))
        assert found.brier[i] == pytest.approx(others, rel=1e-12)


@pytest.mark.parametrize("at_once", [1, 40, 70])
def test_parts_of_any_size_give_the_same(monkeypatch, at_once):
    logits, zero_shot, labels = some_scores(11, 7)
    losses = np.arange(11, dtype=np.float32)
    whole = reduce_scores("m", logits, zero_shot, labels, True, loss_first=losses, steps=3)
    monkeypatch.setattr(outcomes, "_AT_ONCE", at_once)
    parts = [
        reduce_scores("m", logits[p], zero_shot[p], labels[p], True, loss_first=losses[p], steps=3)
        for p in (slice(0, 4), slice(4, 4), slice(4, 11))
    ]
    joined = join(parts)
    for name in (*NAMES, "logits", "loss_first"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name), name)
    assert (joined.method, joined.steps, joined.loss_last, joined.stateful) == ("m", 3, None, False)
    known = [i for i in range(11) if labels[i] is not None and i != 3]
    nll, brier = row_scores(logits[known], np.array([labels[i] for i in known]))
    np.testing.assert_array_equal(nll, whole.nll[known])
    np.testing.assert_array_equal(brier, whole.brier[known])


def test_kept_logits_stand_in_the_rows_of_their_images(scored, tmp_path):
    run = scored(13, failed=(2,), save_logits=True)
    run.logits["seraser"][5, 0] = np.nan
    rows = run.predictions(range(13)).to_pylist()
    for row in rows:
        if row["item_index"] == 2 or (row["item_index"], row["method"]) == (5, "seraser"):
            assert row["logits"] is None
        else:
            expected = run.logits[row["method"]][row["item_index"]]
            np.testing.assert_array_equal(np.array(row["logits"], np.float32), expected)
    directory = run.create(str(tmp_path))
    run.write(directory)
    assert verify(directory.url).problems == []
    # Written as if every logit had been an object of Python.
    table = run.predictions(range(13))
    plain = pa.Table.from_pylist(table.to_pylist(), schema=table.schema)
    assert table.equals(plain)


def test_a_run_all_of_whose_images_failed_keeps_no_logits(scored, tmp_path):
    run = scored(6, failed=range(6), save_logits=True)
    directory = run.create(str(tmp_path))
    run.write(directory)
    assert verify(directory.url).problems == []


def test_many_classes_take_memory_for_few_images_at_once(monkeypatch):
    """21,000 classes and 400 images: scores of 34 MB each, and no table of them in 64 bits."""
    count, rows = 21_000, 400
    monkeypatch.setattr(outcomes, "_AT_ONCE", 2**18)
    logits = np.zeros((rows, count), np.float32)
    logits[np.arange(rows), np.arange(rows) * 50] = 9
    tracemalloc.start()
    found = reduce_scores("m", logits, logits, [i * 50 for i in range(rows)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.top[:, 0].tolist() == [i * 50 for i in range(rows)]
    assert peak < 2**20 * 20, f"{peak / 2**20:.0f} MiB"


def test_classes_of_many_are_those_that_occur(scored):
    """One image after the other, against counts of the rows."""
    count = 21_000
    run = scored(
        40,
        classes=[f"class {i}" for i in range(count)],
        labels=[i * 500 % count for i in range(40)],
    )
    run.change(classes=[f"class {i}" for i in range(count)])
    table = make_tables(run.sums(range(40)), run.run)["classes"]
    rows = pl.DataFrame(run.predictions(range(40))).filter(pl.col("status") == "ok")
    for method in ("zero_shot", "seraser"):
        mine = rows.filter(pl.col("method") == method)
        expected = []
        for label in sorted({*mine["label"], *mine["prediction"]}):
            of_class = mine.filter(pl.col("label") == label)
            predicted = mine.filter(pl.col("prediction") == label)
            expected.append(
                (
                    label,
                    f"class {label}",
                    of_class.height,
                    of_class["correct"].mean(),
                    predicted.height,
                    predicted["correct"].mean(),
                )
            )
        assert table.filter(pl.col("method") == method).drop("method").rows() == expected
