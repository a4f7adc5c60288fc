"""Tables on narrow terminals."""

from __future__ import annotations

import pytest
from rich.console import Console

from seraser_core.cli import console
from seraser_core.cli.console import print_table
from seraser_core.cli.inspect import SUMMARY_COLUMNS

ROWS = [
    {
        "method": method,
        "images": 480,
        "accuracy": 0.5625,
        "worst_group_accuracy": 0.0,
        "worst_group": "a deer / desert",
        "changed": 163,
        "fixed": 163,
        "broken": 0,
    }
    for method in ("zero_shot", "seraser", "foreground")
]


@pytest.fixture
def printed(monkeypatch, capsys):
    """Prints a table on a terminal of some columns and returns its lines."""

    def show(columns: int, rows: list) -> list[str]:
        monkeypatch.setattr(console, "results", Console(soft_wrap=True, width=columns))
        print_table("methods", SUMMARY_COLUMNS, rows)
        return capsys.readouterr().out.splitlines()

    return show


def test_a_summary_fits_80_columns(printed):
    lines = printed(80, ROWS)
    assert max(map(len, lines)) <= 80
    words = " ".join(lines).split()
    for word in ("accuracy", "images", "changed", "fixed", "broken", "zero_shot", "foreground"):
        assert word in words
    assert "errors" not in words


@pytest.mark.parametrize("columns", [1, 40, 60, 200])
def test_no_word_is_shortened(printed, columns):
    name = "[b]-billed oxpecker / on-the-water"
    text = " ".join(printed(columns, [ROWS[0] | {"worst_group": name, "images": 12345678}]))
    assert "…" not in text
    for word in ("zero_shot", "12,345,678", "accuracy", "[b]-billed", "on-the-water"):
        assert word in text.split()


def test_a_wide_terminal_has_one_line_per_row(printed):
    lines = [line for line in printed(200, ROWS) if line.strip()]
    assert len(lines) == len(["title", "headers", "line", *ROWS])
    assert "worst group accuracy" in lines[1]
