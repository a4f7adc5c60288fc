"""The summary as Prefect's pages show it."""

from __future__ import annotations

import polars as pl
import pytest

from seraser_core.results.columns import METHODS, Metric, Shown
from tasks.aggregate import markdown

SUMMARY = pl.DataFrame(
    {
        "method": ["zero_shot", "seraser"],
        "n": [12, 12],
        "errors": [0, 0],
        "accuracy": [0.5, 0.75],
        "ece": [0.125, 0.0625],
        "small_groups": [None, None],
        "top5": [1.0, 1.0],
        "fixed_share": [0.0, 0.25],
    }
)


@pytest.fixture
def fixed_share():
    METHODS.append(Metric("fixed_share", float, percent=True, shown=Shown.PREFECT))
    yield
    METHODS.pop()


def test_a_page_shows_the_columns_that_name_prefect(request):
    def lines() -> list[str]:
        return markdown("/runs/a", "a", SUMMARY, pl.DataFrame()).splitlines()

    assert "| method | errors | n | average (pooled) | ece |" in lines()
    request.getfixturevalue("fixed_share")
    assert "| method | errors | n | average (pooled) | ece | fixed share |" in lines()
    assert "| seraser | 0 | 12 | 75.0 % | 6.2 % | 25.0 % |" in lines()
