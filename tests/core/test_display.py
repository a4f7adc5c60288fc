"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from seraser_core.display import Column, duration
from seraser_core.results.columns import GROUPS, METHODS


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("mcnemar_p", 0.0, "0.000"),
        ("mcnemar_p", 2.2e-23, "2.2e-23"),
        ("nll", -3e-5, "-3.0e-05"),
        ("nll", 1e-3, "0.001"),
        ("brier", 0.98, "0.980"),
        ("accuracy", 0.9021, "90.2 %"),
        ("gap", -0.005, "-0.5 %"),
        ("worst_group_accuracy", 1, "100.0 %"),
        ("accuracy", None, ""),
        ("accuracy", math.nan, ""),
        ("images", 12345678, "12,345,678"),
        ("finished", True, "True"),
        ("method", "zero_shot", "zero_shot"),
    ],
)
def test_shares_are_percentages_and_a_small_number_is_no_zero(column, value, text):
    columns = {known.name: known for known in METHODS}
    assert columns.get(column, Column(column)).text(value) == text


def test_a_heading_says_which_average_it_is():
    methods = {column.name: column.heading for column in METHODS}
    assert methods["accuracy"] == "average (pooled)"
    assert methods["worst_group_n"] == "worst group n"
    groups = {column.name: column.heading for column in GROUPS}
    assert groups["accuracy"] == "accuracy"
    assert groups["zero_shot_accuracy"] == "zero_shot accuracy"


def test_a_method_goes_by_its_id():
    assert Column("zero_shot_2").heading == "zero_shot 2"
    assert Column("my_method", words="my_method").heading == "my_method"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3569, "59 min"),
        (3571, "1 h"),
        (12000, "3 h 20 min"),
        (86399, "1 d"),
        (190800, "2 d 5 h"),
    ],
)
def test_times_have_two_units_at_most(seconds, text):
    assert duration(seconds) == text
