"""Sums and figures against slow, literal ones, and any cut of the rows into shards."""

from __future__ import annotations

import functools
import itertools
import json
import math
import operator

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seraser_core.results.counting import count_rows, proper_sums, shard_sums
from seraser_core.results.significance import mcnemar
from seraser_core.results.sums import ECE_BINS, MethodSums, merge, real, units
from seraser_core.results.tables import make_tables

PROPERTY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


# Sums over rows


def expected_sums(rows: list[dict], logits: np.ndarray) -> dict:
    """The sums of one method, image by image; `logits` of all images."""
    sums: dict = {
        "rows": 0,
        "ok": 0,
        "errors": {},
        "labelled": 0,
        "correct": 0,
        "top5": 0,
        "changed": 0,
        "fixed": 0,
        "broken": 0,
        "confusion": {},
        "groups": {},
        "fixed_by_group": {},
        "predicted": {},
        "confidence": 0.0,
        "in_orders": None,
        "calibration": [[0, 0, 0.0] for _ in range(ECE_BINS)],
        "nll": 0.0,
        "brier": 0.0,
    }
    for row in rows:
        sums["rows"] += 1
        if row["status"] != "ok":
            code = row["error_code"]
            sums["errors"][code] = sums["errors"].get(code, 0) + 1
            continue
        sums["ok"] += 1
        sums["changed"] += row["prediction"] != row["zero_shot_prediction"]
        key = str(row["prediction"])
        sums["predicted"][key] = sums["predicted"].get(key, 0) + 1
        sums["confidence"] += row["confidence"]
        label = row["label"]
        if label is None:
            continue
        z = [float(x) for x in logits[row["item_index"]]]
        exponents = [math.exp(x - max(z)) for x in z]
        p = [e / sum(exponents) for e in exponents]
        sums["labelled"] += 1
        right, before = row["prediction"] == label, row["zero_shot_prediction"] == label
        sums["correct"] += right
        sums["fixed"] += right and not before
        sums["broken"] += before and not right
        sums["top5"] += sum(x > z[label] for x in z) < 5
        sums["nll"] -= math.log(p[label])
        sums["brier"] += sum((p[c] - (c == label)) ** 2 for c in range(len(p)))
        key = f"{label} {row['prediction']}"
        sums["confusion"][key] = sums["confusion"].get(key, 0) + 1
        if row["attribute"] is not None:
            group = sums["groups"].setdefault(f"{label} {row['attribute']}", [0, 0, 0])
            group[0] += 1
            group[1] += right
            group[2] += before
            fixed = sums["fixed_by_group"]
            fixed[f"{label} {row['attribute']}"] = fixed.get(f"{label} {row['attribute']}", 0) + (
                right and not before
            )
        for b in range(ECE_BINS):
            last = b == ECE_BINS - 1
            if b / ECE_BINS <= row["confidence"] and (last or row["confidence"] < (b + 1) / 15):
                bin_sums = sums["calibration"][b]
                bin_sums[0] += 1
                bin_sums[1] += right
                bin_sums[2] += row["confidence"]
    return sums


def assert_same_sums(sums: MethodSums, expected: dict) -> None:
    sums = sums.figures()
    assert set(sums) == set(expected)
    for name, value in expected.items():
        if name == "groups":
            assert {key: [*group] for key, group in sums[name].items()} == value
        elif name == "calibration":
            assert np.array(sums[name]) == pytest.approx(np.array(value), rel=1e-9, abs=1e-9)
        elif name in ("nll", "brier", "confidence"):
            assert sums[name] == pytest.approx(value, rel=1e-9, abs=1e-9)
        else:
            assert sums[name] == value, name


@pytest.mark.parametrize("count", [1, 13, 200])
@pytest.mark.parametrize("known", ["all", "some", "none"])
def test_sums_of_a_shard_equal_a_loop_over_its_rows(scored, count, known):
    keep = {"all": 1, "some": 3, "none": 10**9}[known]
    labels = [None if i % keep else i % 7 for i in range(count)]
    places = [None if i % 4 == 0 else i % 3 for i in range(count)]
    if known == "none":
        labels[0] = None
    data = scored(count, labels=labels, places=places, failed=range(2, count, 9))
    data.logits["seraser"][5:8, 0] = np.nan
    data.zero_shot[9:11, 1] = np.inf
    sums = data.sums(range(count))
    rows = data.predictions(range(count)).to_pylist()
    assert list(sums) == ["zero_shot", "seraser"]
    for method, logits in data.logits.items():
        mine = [row for row in rows if row["method"] == method]
        assert_same_sums(sums[method], expected_sums(mine, logits))


def test_sums_survive_json(small):
    sums = small.sums(range(13))["seraser"]
    text = json.dumps(sums.model_dump(mode="json"), allow_nan=False)
    assert MethodSums.model_validate_json(text) == sums
    assert json.loads(text)["groups"].keys() == sums.groups.keys()


def test_sums_of_a_newer_version_are_kept_and_not_added(small):
    newer = {**small.sums(range(13))["seraser"].model_dump(mode="json"), "entropy": 2.5}
    sums = MethodSums.model_validate_json(json.dumps(newer))
    assert sums.model_dump(mode="json") == newer
    assert "entropy" not in (sums + sums).model_dump(mode="json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rows", None),
        ("rows", 1.5),
        ("rows", True),
        ("ok", "3"),
        ("errors", []),
        ("errors", {"timeout": 0.5}),
        ("groups", {"0 0": [1, 2]}),
        ("groups", {"0 0": [1, 2, True]}),
        ("calibration", [[0, 0, 0.0]] * (ECE_BINS - 1)),
        ("calibration", [[0, 0, "0"]] * ECE_BINS),
        ("nll", "0.1"),
        ("nll", math.inf),
        ("nll", math.nan),
    ],
)
def test_sums_of_another_kind_are_refused(small, name, value):
    document = {**small.sums(range(13))["seraser"].model_dump(mode="json"), name: value}
    with pytest.raises(ValueError, match=name):
        MethodSums.model_validate_json(json.dumps(document))


def scores(logits, labels):
    """Sums of NLL and Brier score of some rows."""
    kind = pl.List(pl.Float32)
    rows = {"status": "ok", "label": labels, "logits": pl.Series(logits.tolist(), dtype=kind)}
    sums = proper_sums(pl.DataFrame(rows, schema_overrides={"label": pl.Int64}))
    return real(sums["nll"]), real(sums["brier"])


def test_extreme_logits_have_finite_scores(small):
    logits = np.array([[3e38, -3e38, 0], [-3e38, 3e38, 0]], dtype=np.float32)
    nll, brier = scores(logits, [0, 0])
    assert nll == pytest.approx(6e38)
    assert brier == 2.0
    assert scores(np.empty((0, 3)), []) == (0.0, 0.0)
    large = small.sums(range(13))["seraser"].model_copy(update={"nll": units(np.array([6e38]))})
    assert MethodSums.model_validate_json(large.model_dump_json()) == large


def test_scores_of_three_classes_by_hand():
    nll, brier = scores(np.log([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]]), [0, 1])
    assert nll == pytest.approx(math.log(2) + math.log(8))
    assert brier == pytest.approx(0.25 + 2 * 0.0625 + 0.015625 + 0.765625 + 0.5625)


def test_sums_of_an_earlier_version_were_real_numbers(small):
    sums = small.sums(range(13))["seraser"]
    earlier = {**sums.model_dump(mode="json"), "nll": 17.25, "brier": 0.1}
    earlier["calibration"] = [[3, 2, 2.5]] * ECE_BINS
    read = MethodSums.model_validate_json(json.dumps(earlier))
    figures = read.figures()
    assert (figures["nll"], figures["calibration"][3]) == (17.25, (3, 2, 2.5))
    assert figures["brier"] == pytest.approx(0.1, rel=1e-11)
    assert (read + sums).nll == read.nll + sums.nll


@pytest.mark.parametrize(
    ("confidence", "place"),
    [(0.0, 0), (0.0666, 0), (0.0667, 1), (0.5, 7), (0.9999, 14), (1.0, 14)],
)
def test_bins_of_calibration_are_of_equal_width(small, confidence, place):
    row = pl.DataFrame(small.predictions([0])).with_columns(
        confidence=pl.lit(confidence, dtype=pl.Float32)
    )
    bins = count_rows(row, ["seraser"])["seraser"].calibration
    assert [b for b, sums in enumerate(bins) if sums[0]] == [place]
    assert real(bins[place][2]) == pytest.approx(confidence, rel=1e-6)


# Merging


@st.composite
def partitions(draw, count: int) -> list[list[int]]:
    """The numbers below `count` in any number of parts and in any order, each part rising."""
    owners = draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
    parts = [[i for i in range(count) if owners[i] == part] for part in range(6)]
    return draw(st.permutations([part for part in parts if part]))


@PROPERTY
@given(data=st.data(), seed=st.integers(0, 10**6))
def test_any_cut_in_any_order_gives_the_same_tables(scored, data, seed):
    count = 40
    some = np.random.default_rng(seed)
    labels = [None if x > 6 else x for x in some.integers(0, 9, count).tolist()]
    places = [None if x > 2 else x for x in some.integers(0, 4, count).tolist()]
    failed = some.choice(count, 4, replace=False).tolist()
    run = scored(count, seed=seed, labels=labels, places=places, failed=failed)
    whole = run.sums(range(count))
    parts = [run.sums(part) for part in data.draw(partitions(count))]
    assert merge(parts) == whole
    tables = make_tables(whole, run.run)
    for name, table in make_tables(merge(parts), run.run).items():
        assert table.equals(tables[name])


@PROPERTY
@given(data=st.data())
def test_adding_one_by_one_is_merging_at_once(scored, data):
    run = scored(24)
    parts = [run.sums(part) for part in data.draw(partitions(24))]
    for method, at_once in merge(parts).items():
        assert functools.reduce(operator.add, (part[method] for part in parts)) == at_once


def test_scores_that_one_part_lacks_are_not_known_of_all(small):
    """Rows alone do not give NLL."""
    first, second = small.sums(range(5)), small.sums(range(5, 13))
    second["seraser"] = second["seraser"].model_copy(update={"nll": None, "brier": None})
    merged = merge([first, second])
    assert merged["zero_shot"].nll is not None
    assert merged["seraser"].nll is merged["seraser"].brier is None


def test_images_fixed_and_broken(scored):
    """All four cases of right and wrong, before and after, with known counts."""
    cases = list(itertools.product([True, False], repeat=2))
    run = scored(10, classes=["no", "yes"], labels=[1] * 10, failed=())
    counts = dict(zip(cases, [4, 1, 3, 2], strict=True))
    kinds = [case for case, n in counts.items() for _ in range(n)]
    for i, (before, after) in enumerate(kinds):
        run.zero_shot[i] = [not before, before]
        run.logits["seraser"][i] = [not after, after]
    sums = run.sums(range(10))["seraser"]
    assert (sums.correct, sums.fixed, sums.broken) == (7, 3, 1)
    assert sums.changed == 4
    table = make_tables(dict.fromkeys(("zero_shot", "seraser"), sums), run.run)["summary"]
    assert table["mcnemar_p"][1] == pytest.approx(0.625)


def test_images_fixed_and_broken_in_each_group(scored):
    """The counts of groups against the rows, and none where a shard does not know them."""
    run = scored(60, places=[i % 2 for i in range(60)])
    table = make_tables(run.sums(range(60)), run.run)["groups"]
    rows = pl.DataFrame(run.predictions(range(60))).filter(pl.col("status") == "ok")
    right, before = pl.col("correct"), pl.col("zero_shot_correct")
    by_hand = rows.group_by("method", "group").agg(
        fixed=(right & ~before).sum(), broken=(before & ~right).sum()
    )
    key = ["method", "group"]
    counts = table.select(*key, "fixed", "broken").sort(key)
    assert counts.rows() == by_hand.select(counts.columns).sort(key).rows()
    assert counts["broken"].sum() > 0
    assert table["mcnemar_p"].to_list() == [
        mcnemar(fixed, broken) for fixed, broken in table.select("fixed", "broken").iter_rows()
    ]

    earlier = run.sums(range(30))["seraser"].model_dump(mode="json")
    del earlier["fixed_by_group"]
    known = run.sums(range(60))
    known["seraser"] = MethodSums.model_validate(earlier) + run.sums(range(30, 60))["seraser"]
    groups = make_tables(known, run.run)["groups"].filter(method="seraser")
    assert groups["accuracy"].equals(table.filter(method="seraser")["accuracy"])
    assert groups.select("fixed", "broken", "mcnemar_p").null_count().row(0) == (14, 14, 14)


def test_a_shard_in_which_every_image_failed_adds_only_errors(scored):
    run = scored(10, failed=range(5, 10))
    good, bad = run.sums(range(5))["seraser"], run.sums(range(5, 10))["seraser"]
    assert bad.errors == {"undecodable": 5}
    assert bad + good == good.model_copy(update={"rows": 10, "errors": {"undecodable": 5}})


def test_no_rows_at_all(small):
    empty = pa.Table.from_pylist([], schema=small.predictions([0]).schema)
    sums = shard_sums(empty, small.outcomes([]))["seraser"]
    assert (sums.rows, sums.labelled, sums.nll) == (0, 0, 0.0)
