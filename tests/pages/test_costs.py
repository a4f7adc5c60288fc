"""The sums on the page of costs are those of its formulas."""

from __future__ import annotations

import re

import pytest
from markdown_pages import ROOT

PAGE = ROOT / "docs" / "operations" / "costs.md"
PUT, GET = 5e-6, 0.4e-6
"""Dollars of a request, as the page says."""


def rows() -> list[list[str]]:
    """Cells of the table of dollars: what, amount, dollars, amount, dollars."""
    table = PAGE.read_text().partition("## Money")[2].partition("## ")[0]
    lines = [line for line in table.splitlines() if re.match(r"\| .+ \|$", line)]
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines[1:]]


@pytest.mark.parametrize("column", [2, 4])
def test_the_dollars_add_up(column):
    *parts, total = (float(row[column].replace(",", "") or 0) for row in rows())
    assert sum(parts) == pytest.approx(total, abs=0.005)


@pytest.mark.parametrize(("column", "images", "runs"), [(2, 1e7, 1), (4, 1e9, 100)])
def test_the_dollars_follow_from_the_formulas(column, images, runs):
    shards = runs * 2442
    dollars = {row[0]: float(row[column].replace(",", "") or 0) for row in rows()}
    assert dollars["devices"] == pytest.approx(images * 0.005 / 3600 * 2, abs=0.005)
    assert dollars["images as single files"] == pytest.approx(images * GET, abs=0.005)
    assert dollars["listing them"] == pytest.approx(images / 1000 * PUT, abs=0.005)
    assert dollars["shards"] == pytest.approx(shards * (8 * PUT + 4 * GET), abs=0.005)
    reports = 2 * 2442 * sum(range(1, 101)) * GET if runs == 100 else 0
    assert dollars["report of the series after each of 100 runs"] == pytest.approx(
        reports, abs=0.005
    )
