"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from seraser_core.display import SUMMARY, heading, shown


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
    assert shown(column, value) == text


def test_a_heading_says_which_average_it_is():
    assert heading("accuracy", SUMMARY) == "average (pooled)"
    assert heading("accuracy") == "accuracy"
    assert heading("worst_group_n", SUMMARY) == "worst group n"
    assert heading("zero_shot_accuracy") == "zero_shot accuracy"
