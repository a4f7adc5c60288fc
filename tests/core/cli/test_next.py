"""The line after a command that says what comes next."""

from __future__ import annotations

import shlex
import webbrowser

import pytest
import typer

from seraser_core.cli import console
from seraser_core.cli.main import app


@pytest.fixture
def after(seraser, monkeypatch):
    """Runs a command; returns the words of the command that it says comes next."""
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr(console.errors, "_width", 1000)

    def run(*arguments: str) -> list[str]:
        done = seraser(*arguments)
        assert done.exit_code == 0, done.output
        line = done.stderr.splitlines()[-1]
        assert line.startswith("next: seraser ")
        assert "next: seraser" not in done.stdout
        assert done.stderr.count("next: seraser") == 1
        return shlex.split(line.removeprefix("next: seraser "))

    return run


def test_the_lines_lead_from_the_plan_to_the_page_of_the_report(after, config, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(opened.append(url)) or True)
    words = after("plan", config, "--set", "methods=[zero_shot]")
    assert words == ["run", config, "--set", "methods=[zero_shot]"]
    words = after(*words, "--no-prefect")
    assert words[0] == "report"
    assert after("status", words[1]) == words
    assert after("status", words[1], "--watch", "1") == words
    assert after("verify", words[1]) == ["report", words[1]]
    assert after("report", words[1]) == ["report", words[1], "--open"]
    assert after("runs", words[1].rpartition("/")[0]) == words
    assert after(*words) == ["shortcuts", words[1]]
    assert opened == [f"file://{words[1]}/report/report.html"]


def test_an_unfinished_run_is_worked_on(after, seraser, config):
    url = seraser("plan", config).stdout.strip()
    assert after("status", url) == ["work", url]


@pytest.mark.parametrize(
    "command", ["methods", "models", "datasets", "datasets waterbirds", "options --schema"]
)
def test_lists_lead_on(after, command):
    name, *arguments = after(*command.split())
    typer.main.get_command(app).commands[name].make_context(name, arguments)  # or it raises


def test_scripts_get_no_such_line(seraser, config):
    assert "next: " not in seraser("plan", config, "--json").output


def test_a_command_of_uv_is_told_as_one(seraser, config, monkeypatch):
    monkeypatch.setenv("UV", "/usr/bin/uv")
    assert seraser("plan", config).stderr.splitlines()[-1].startswith("next: uv run seraser run ")


def test_a_remedy_stands_on_its_own_line(seraser, config):
    done = seraser("plan", config, "--set", "shards.max_items=2")
    assert done.stderr.splitlines()[-2:] == [
        "configuration shards: unknown key",
        "hint: did you mean `shard`?",
    ]
