"""README and docs/ are true: commands exist, configs parse, code runs, the options are current.

To write the table of options again: ``uv run python tests/test_pages.py``.
"""

from __future__ import annotations

import json
import re
import runpy
import shlex
import subprocess
import sysconfig
from pathlib import Path

import click
import pytest
import typer
import yaml

from seraser_core.cli.main import app
from seraser_core.config import (
    GridConfig,
    MethodOptions,
    RunConfig,
    describe_options,
    load_comparison,
)
from seraser_core.config.methods import METHOD_OPTIONS

SERASER = str(Path(sysconfig.get_path("scripts"), "seraser"))
ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
OPTIONS = ROOT / "docs" / "options.md"
_SHARED = ("name", *MethodOptions.model_fields)
_BEGIN, _END = "<!-- options -->\n", "<!-- end of options -->\n"


def blocks(language: str) -> list[str]:
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [block for page in PAGES for block in pattern.findall(page.read_text())]


def options_table() -> str:
    lines = ["| option | default | |", "|---|---|---|"]
    described = [
        *describe_options(RunConfig),
        *describe_options(GridConfig),
        *describe_options(MethodOptions, "methods.N."),
    ]
    methods: dict[tuple[str, str, str], list[str]] = {option: [] for option in described}
    for method, group in METHOD_OPTIONS.items():
        for option in describe_options(group, "methods.N."):
            if option[0].removeprefix("methods.N.") not in _SHARED:
                methods.setdefault(option, []).append(method)
    for (name, default, text), having in methods.items():
        method = f" ({', '.join(having)})" if having else ""
        shown = default.replace("None", "null").replace("'", "").replace("False", "false")
        cell = text.replace("|", "\\|")
        lines.append(f"| `{name}`{method} | `{shown}` | {cell} |".replace("``", ""))
    return "\n".join(lines) + "\n"


def commands() -> list[list[str]]:
    found = []
    for block in blocks("sh"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if "run" in words and "uv" in words:
                found.append(words[words.index("run", words.index("uv")) + 1 :])
    return found


def test_the_table_of_options_is_current():
    text = OPTIONS.read_text()
    assert text[text.index(_BEGIN) + len(_BEGIN) : text.index(_END)] == options_table()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)", page.read_text()):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings]


@pytest.mark.parametrize("block", blocks("yaml"))
def test_configs_parse(block):
    assert all(cell.config.methods for cell in load_comparison([yaml.safe_load(block)]).cells)


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_exist(words, monkeypatch, capsys):
    program, *arguments = words
    if program == "pytest":
        return
    if program == "prefect":
        from prefect.cli._app import _app  # takes seconds to import

        _app.parse_args(arguments, exit_on_error=False, print_error=False)  # raises
        return
    if program == "python":
        monkeypatch.setattr("sys.argv", [arguments[0], "--help"])
        monkeypatch.syspath_prepend(str(ROOT / arguments[0]).rpartition("/")[0])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / arguments[0]), run_name="__main__")
        assert ended.value.code == 0
        helped = capsys.readouterr().out
        assert all(word in helped for word in arguments if word.startswith("--"))
        return
    assert program == "seraser"
    group = typer.main.get_command(app)
    command = group.commands[arguments[0]]
    command.make_context(arguments[0], arguments[1:])  # raises for wrong arguments
    assert isinstance(command, click.Command) or hasattr(command, "params")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Folder in which `seraser demo` was run, and what it printed as JSON."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [SERASER, "demo", "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_the_demo_repairs_the_shortcut(demo):
    _, printed = demo
    rows = {row["method"]: row for row in printed["summary"]}
    before, after = rows["zero_shot"], rows["seraser"]
    assert after["n"] >= 480
    assert after["worst_group_accuracy"] >= before["worst_group_accuracy"] + 0.40
    assert after["accuracy"] >= before["accuracy"] + 0.15
    assert len(list(Path(printed["run"], "predictions").iterdir())) >= 4


def test_the_figures_of_the_demo_are_those_printed(demo):
    _, printed = demo
    groups = [*printed["groups"], *printed["control"]["groups"]]
    rows = [row for row in groups if row["method"] == "seraser"]
    shown = re.findall(
        r"^\| (.+? / .+?) \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", README.read_text(), re.M
    )
    assert [(row["group"], row["n"]) for row in rows] == [(name, int(n)) for name, n, _, _ in shown]
    for row, (_, _, before, after) in zip(rows, shown, strict=True):
        # Other processors round differently, which moves an image or two.
        assert row["zero_shot_accuracy"] == pytest.approx(float(before), abs=0.03)
        assert row["accuracy"] == pytest.approx(float(after), abs=0.03)


def test_the_python_code_runs_on_the_demo(demo, monkeypatch):
    folder, _ = demo
    monkeypatch.chdir(folder)
    for block in blocks("python"):
        exec(compile(block, "docs", "exec"), {})


def test_status_reports_what_bounds_the_demo(demo):
    _, printed = demo
    done = subprocess.run(
        [SERASER, "status", printed["run"], "--json"], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["finished"]
    assert found["bound_by"] in ("model", "decode", "fetch", "overhead")
    assert 0 <= found["overhead"] <= 1


if __name__ == "__main__":
    before, rest = OPTIONS.read_text().split(_BEGIN)
    OPTIONS.write_text(before + _BEGIN + options_table() + _END + rest.split(_END)[1])
