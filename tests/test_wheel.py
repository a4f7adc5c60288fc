"""The wheel holds what runs need and no training; installed alone, it runs the demo."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TRAINING = "seraser_core/demo/training"
PACKAGES = ("flows", "tasks", "seraser_core")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ["uv", "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_demo_is_shipped_without_its_training(wheel):
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        modules = {name: archive.read(name).decode() for name in names if name.endswith(".py")}
    assert (ROOT / TRAINING / "train.py").is_file()
    assert "seraser_core/demo/model/seraser-demo.safetensors" in names
    assert "seraser_core/shortcuts/nouns/nouns.txt" in names
    assert any(name.endswith("licenses/seraser_core/shortcuts/nouns/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(TRAINING)]
    assert not [name for name, text in modules.items() if TRAINING.replace("/", ".") in text]


def test_every_file_of_the_packages_is_shipped(wheel):
    """Templates, tables of words and the marker of types too, not modules alone."""
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = {name for name in listed.stdout.splitlines() if not name.startswith(TRAINING)}
    with ZipFile(wheel) as archive:
        assert files - set(archive.namelist()) == set()
    assert {f"{package}/py.typed" for package in PACKAGES} <= files


def test_version_and_licence_agree(wheel):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    with ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    newest = next(
        line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")
    )
    assert metadata["Version"] == project["version"] == citation["version"]
    assert newest == f"## {project['version']}"
    assert metadata["License-Expression"] == project["license"] == citation["license"]


def test_the_citation_has_what_its_format_requires():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert "2403.00376" in paper["url"]
    for author in citation["authors"] + paper["authors"]:
        assert author.keys() in ({"name"}, {"given-names", "family-names"})


@pytest.mark.slow
def test_installed_alone_it_runs_the_demo(wheel, tmp_path):
    """With the versions of these tests, from uv's cache, in an environment without all else."""
    pinned = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
    versions = tmp_path / "constraints.txt"
    versions.write_text("\n".join(pinned["constraint-dependencies"]))
    python = tmp_path / "alone" / "bin" / "python"
    plain = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PREFECT_HOME": str(tmp_path / "p")}
    install = ["uv", "pip", "install", "--quiet", "--python", str(python), "--constraint"]
    subprocess.run(
        ["uv", "venv", "--quiet", "--python", sys.executable, tmp_path / "alone"], check=True
    )
    subprocess.run([*install, str(versions), str(wheel)], check=True)
    done = subprocess.run(
        [python.with_name("seraser"), "demo"],
        cwd=tmp_path,
        env=plain | {name: os.environ[name] for name in ("OMP_NUM_THREADS",) if name in os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "seraser-demo" / "runs").glob("*/report/report.html"))) == 2
