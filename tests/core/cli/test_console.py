"""Tables on narrow terminals, and texts of the data that would command the terminal."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from rich.panel import Panel
from rich.status import Status
from rich.text import Text

from seraser_core.cli import console
from seraser_core.cli.console import print_json, print_table
from seraser_core.results.columns import METHODS, Shown, shown_in

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
        print_table("methods", shown_in(Shown.SUMMARY, METHODS), rows)
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


COMMANDS = "\x1b[2J\x1b]0;me\x07 \x9b31m \u202egnp \u2066 \x7f \\x41 é\tx"


@pytest.fixture
def terminal(monkeypatch):
    """A terminal with styles, and what was written to it."""
    shown = console._console(stderr=False)
    shown.file = io.StringIO()
    shown._force_terminal = True
    shown._color_system = None
    monkeypatch.setattr(console, "results", shown)
    return shown


def raw(text: str) -> set[str]:
    return {sign for sign in text if not (sign.isprintable() or sign in "\n\t")}


def test_control_characters_of_the_data_are_shown(terminal):
    terminal.print(COMMANDS)
    terminal.print(Text(f"failed {COMMANDS}", style="bold"))
    print_table("runs", ["name"], [{"name": COMMANDS}])
    for renderable in (Panel(COMMANDS), Status(Text(COMMANDS), console=terminal)):
        terminal.print(renderable)
    written = terminal.file.getvalue()
    assert raw(written) == set()
    assert written.count("\\x1b[2J") == 5
    assert "\\x9b31m" in written
    assert "\\u202egnp" in written


def test_commands_of_the_bar_reach_the_terminal(terminal):
    terminal.show_cursor(False)
    assert terminal.file.getvalue() == "\x1b[?25l"


def test_json_is_escaped_and_the_same(capsys):
    document = {COMMANDS: [COMMANDS, "\r\n\x00"]}
    print_json(document)
    text = capsys.readouterr().out
    assert raw(text) == set()
    assert json.loads(text) == document


def test_tables_are_printed_as_markdown(seraser, finished):
    url = finished.rpartition("/")[0]
    commands = {
        ("status", finished): "| run | state | images | images/s | bound by |",
        ("report", finished): "| method | images | average (pooled) |",
        ("runs", url): "| run | data set | model | methods |",
        ("methods",): "| method | what |",
        ("options", "dataset.split"): "| option | default | what |",
        ("datasets",): "| name | what | layout | source | licence |",
    }
    for words, header in commands.items():
        lines = seraser(*words, "--md").stdout.splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith("|"))
        assert lines[at - 2].startswith("**"), words
        assert lines[at].startswith(header), words
        assert set(lines[at + 1]) <= set("| -:")
        assert lines[at].count("|") == lines[at + 2].replace(r"\|", "").count("|"), words
    assert "|" not in seraser("methods").stdout
