"""Answers without labels: trends over nights, and shifts by a method."""

from __future__ import annotations

import re

import polars as pl

from seraser_core.report.answers import answer_trends, largest_shifts


def nights(**changes) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "method": "seraser",
            "night": [0, 1, 2],
            "images": [100, 40, 300],
            "errors": [0, 0, 30],
            "changed": [10, 8, 27],
            "mean_confidence": [0.7, None, 0.75],
            **changes,
        }
    )


def answers(*rows: tuple[int, int, int]) -> pl.DataFrame:
    """Make a table of rows with the night, the class and its images."""
    columns = ("night", "prediction", "images")
    table = pl.DataFrame(rows, schema=columns, orient="row")
    name = pl.format("class {}", "prediction").alias("prediction_name")
    return table.with_columns(name, method=pl.lit("seraser"))


def told(figure: str) -> list[str]:
    """Nights and values of a figure."""
    (title,) = re.findall("<title>(.*)</title>", figure)
    return title.partition(" nights: ")[2].split(", ")


def test_trends_without_labels():
    table = answers((0, 0, 60), (0, 1, 40), (2, 0, 54), (2, 2, 216))
    found = dict(answer_trends(nights(), table, "seraser"))
    assert [told(found.pop(name)) for name in list(found)[:4]] == [
        ["night 0 100", "night 1 40", "night 2 300"],
        ["night 0 10.0 %", "night 1 20.0 %", "night 2 10.0 %"],
        ["night 0 0.0 %", "night 1 0.0 %", "night 2 10.0 %"],
        ["night 0 70.0 %", "night 2 75.0 %"],
    ]
    assert {name: told(figure) for name, figure in found.items()} == {
        "Answered: class 2": ["night 0 0.0 %", "night 2 80.0 %"],
        "Answered: class 0": ["night 0 60.0 %", "night 2 20.0 %"],
        "Answered: class 1": ["night 0 40.0 %", "night 2 0.0 %"],
    }, "the largest shift first; of night 1 the classes were not counted"
    assert answer_trends(nights().head(1), table, "seraser") == []


def test_trends_of_nights_that_counted_no_classes_or_had_no_answer():
    empty = answers((0, 0, 1)).clear()
    found = dict(answer_trends(nights(mean_confidence=None), empty, "seraser"))
    assert list(found) == ["Images", "Other answer than zero_shot", "No prediction"]
    failed = nights(errors=[100, 0, 300], changed=0, mean_confidence=None)
    found = dict(answer_trends(failed, empty, "seraser"))
    assert told(found["Other answer than zero_shot"]) == ["night 1 0.0 %"]
    assert found["Images"].count("<circle") == 3


def test_of_many_classes_those_that_shift_most_are_drawn():
    rows = [(night, c, 10 + c * night) for night in (0, 2) for c in range(20)]
    found = [name for name, _ in answer_trends(nights(), answers(*rows), "seraser")][4:]
    assert len(found) == 8
    assert found[0] == "Answered: class 19"


def test_the_largest_shifts_by_a_method():
    counts = {"zero_shot": {0: 50, 1: 30, 2: 20}, "seraser": {0: 20, 1: 30, 3: 50}}
    rows = [
        {"method": method, "prediction": c, "prediction_name": f"c{c}", "images": n, "n": 100}
        for method, of in counts.items()
        for c, n in of.items()
    ]
    found = largest_shifts(rows, "zero_shot", "seraser")
    assert [(one.name, one.before.hits, one.after.hits) for one in found] == [
        ("c3", 0, 50),
        ("c0", 50, 20),
        ("c2", 20, 0),
    ]
    assert largest_shifts(rows, "other", "seraser") == []
