"""Names and paths are printed as they are, whatever they mean to a terminal."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

NAME = "[bold]x[/] [/red] data[1] :cat: `y` [link file:z]w"
FILE = "data[1] [b]x :cat:"


@pytest.fixture
def folder(pictures, tmp_path) -> Path:
    """A folder of this name, with pictures and a table."""
    folder = tmp_path / NAME
    shutil.copytree(pictures.parent, folder)
    (folder / pictures.name).rename(folder / f"{FILE}.csv")
    return folder


def _joined(text: str) -> str:
    """`text` without what typer's panels put between two words."""
    return re.sub(r"[\s│]", "", text)


def test_every_command_prints_names_as_they_are(seraser, tree, folder):
    classes = ["a [red]camel[/red]", "a [/] deer", f"a {NAME}"]
    tree["dataset"] |= {"path": str(folder / f"{FILE}.csv"), "classes": classes}
    tree["dataset"]["attributes"] = ["[dim]land", NAME]
    tree["output"] = str(folder / "runs")
    tree["methods"] = ["zero_shot", "foreground"]
    (folder / "picture 03é.png").write_bytes(b"")
    config = folder / f"{FILE}.yaml"
    config.write_text(yaml.safe_dump(tree))

    def whole(*arguments: str, code: int = 0) -> str:
        done = seraser(*arguments)
        assert done.exit_code == code, done.output
        assert _joined(NAME) in _joined(done.output), arguments
        return str(done.stdout)

    run = whole("plan", str(config)).strip()
    assert run.startswith(str(folder))
    whole("plan", str(config), "--no-model", "--check-files", code=1)
    printed = whole("run", str(config), "--no-prefect")
    for name in (*classes, "[dim]land"):
        assert name in printed
    whole("run", str(config), "--no-prefect")
    for command in ("status", "summary"):
        whole(command, run)
    whole("runs", tree["output"])
    assert seraser("verify", run).exit_code == 0
    whole("compare", str(config), "--no-prefect")
    assert json.loads(whole("summary", run, "--json"))["run"] == run
    shutil.rmtree(Path(run, "predictions"))
    for command in (("verify", run), ("status", run), ("summary", run)):
        seraser(*command)  # no crash
    whole("status", f"{folder}/nowhere", code=1)
    whole("plan", f"{folder}/nowhere.yaml", code=2)
    whole("plan", str(config), f"--set=dataset.label={NAME}", code=2)
    whole("plan", str(config), f"--set={NAME}", code=2)
    whole("methods", NAME, code=2)
    whole("datasets", NAME, code=2)
    whole("check", NAME, str(folder), code=2)
    whole("masks", f"{folder}/nowhere.yaml", code=2)
    whole("retry-errors", f"{folder}/nowhere", code=1)


def test_a_name_that_is_no_text_is_printed_with_its_bytes(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.yaml"
    command = [sys.executable, "-c", "from seraser_core.cli.main import app; app()", "plan", name]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"caf\\udce9.yaml" in done.stderr
    assert b"Traceback" not in done.stderr
