"""A small configuration, and commands that run in this process."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from seraser_core.cli import console
from seraser_core.cli.main import app


@pytest.fixture
def config(tree: dict[str, Any], tmp_path: Path) -> str:
    """Path of a small config of 14 images in three shards, with three methods."""
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(tree))
    return str(path)


@pytest.fixture
def seraser(monkeypatch):
    """Runs a command in this process, 200 columns wide."""
    # Where COLUMNS was set when they were made, the consoles have kept it.
    for one in (console.results, console.errors):
        monkeypatch.setattr(one, "_width", 200)

    def run(*arguments: str):
        return CliRunner().invoke(app, [*arguments])

    return run


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment without a Prefect server, and with a home of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    return {**kept, "PREFECT_HOME": str(tmp_path / "prefect"), "COLUMNS": "200"}


@pytest.fixture
def finished(finished_once: Path, tree: dict[str, Any]) -> str:
    """URL of the finished run of `tree`, a copy whose published rows are attempts' files too."""
    url = Path(tree["output"], finished_once.name)
    url.parent.mkdir()
    subprocess.run(["cp", "-a", str(finished_once), str(url)], check=True)
    return str(url)
