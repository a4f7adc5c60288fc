"""docs/extending.md is a package that works: it is built from the page, installed, and run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

_PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
_FILE = re.compile(r"^```\w+\n# (\S+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_PLAN_AND_OPEN = """
import sys
from seraser_core.config import load_config
from seraser_core.runner.plan import plan_run
from seraser_core.runner.session import open_session

print(plan_run(load_config("ledger.yaml")))
open_session(sys.argv[1])
"""


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """Name -> content of every file that the page has."""
    return dict(_FILE.findall(_PAGE.read_text()))


@pytest.fixture
def lab(files, pictures, tiny_json, tmp_path):
    """The package, installed into a folder of its own, and a data set and a run that use it."""
    return Lab(tmp_path, files, pictures, tiny_json)


class Lab:
    def __init__(self, folder: Path, files: dict[str, str], pictures: Path, model: str) -> None:
        self.folder, self.files = folder, files
        self.labels = {f"picture {i:02}é.png": ("deer", "camel")[i % 2] for i in range(14)}
        shutil.copytree(pictures.parent, folder / "birds")
        ledger = folder / "birds" / "birds.txt"
        ledger.write_text("".join(f"{y}\t{name}\n" for name, y in self.labels.items()))
        run = yaml.safe_load(files["ledger.yaml"])
        run["dataset"]["path"] = str(ledger)
        run["model"] = {"name": model, "pretrained": None, "device": "cpu"}
        run["output"], run["save_logits"] = str(folder / "runs"), True
        (folder / "ledger.yaml").write_text(yaml.safe_dump(run))

    def install(self, version: str = "1.0") -> None:
        package, target = self.folder / f"package {version}", self.folder / "installed"
        for name, content in self.files.items():
            (package / name).parent.mkdir(parents=True, exist_ok=True)
            (package / name).write_text(
                content.replace('version = "1.0"', f'version = "{version}"')
            )
        options = ["--offline", "--no-deps", "--no-build-isolation", "--target", str(target)]
        subprocess.run(
            ["uv", "pip", "install", "-q", "--reinstall", *options, str(package)], check=True
        )

    def seraser(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.call([str(Path(sysconfig.get_path("scripts"), "seraser")), *arguments], code)

    def call(self, command: list[str], code: int) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(self.folder / "installed"), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done

    def run(self) -> Path:
        done = self.seraser("run", "ledger.yaml", "--no-prefect", "--json")
        return Path(json.loads(done.stdout)["run"])


@pytest.mark.slow
def test_the_package_of_the_page_is_installed_and_run(lab):
    refused = lab.seraser("plan", "ledger.yaml", code=2)
    assert "dataset.format: 'ledger'" in refused.stderr
    assert "unknown method 'cooled'" in refused.stderr

    lab.install()
    shown = json.loads(lab.seraser("methods", "cooled", "--json").stdout)["cooled"]
    assert shown["package"] == "shortcut-lab 1.0"
    assert shown["what"].startswith("Zero-shot with its logits divided by a temperature")
    assert [one["option"] for one in shown["options"]] == ["id", "temperature"]
    wrong = lab.seraser("plan", "ledger.yaml", "--set", "methods.1.temperature=0", code=2)
    assert "methods.1.temperature: 0\nhint: must be greater than 0" in wrong.stderr
    wrong = lab.seraser("plan", "ledger.yaml", "--set", "dataset.label=y", code=2)
    assert "dataset.label: 'y'" in wrong.stderr

    run = lab.run()
    rows = pl.scan_parquet(run / "predictions" / "*.parquet").sort("item_id").collect()
    ours, theirs = (rows.filter(method=name) for name in ("zero_shot", "cooled"))
    assert dict(ours.select("item_id", "label_name").rows()) == lab.labels
    assert (rows["status"] == "ok").all()
    logits = np.array(ours["logits"].to_list(), dtype=float)
    np.testing.assert_allclose(np.array(theirs["logits"].to_list()), logits / 4, rtol=1e-5)
    p = np.exp(logits / 4) / np.exp(logits / 4).sum(1, keepdims=True)
    np.testing.assert_allclose(theirs["confidence"], p.max(1), rtol=1e-5)
    inputs = json.loads((run / "run.json").read_text())["fingerprint_inputs"]
    assert inputs["plugins"] == {
        "dataset.format ledger": "shortcut-lab 1.0",
        "methods cooled": "shortcut-lab 1.0",
    }

    lab.install("1.1")
    opened = lab.call([sys.executable, "-c", _PLAN_AND_OPEN, str(run)], code=1)
    planned = Path(opened.stdout.strip())
    assert planned.parent == run.parent
    assert planned != run
    assert (
        "planned otherwise than it would be computed here; these differ: plugins" in opened.stderr
    )


def test_a_package_whose_modules_are_gone_is_named(lab):
    lab.install()
    (lab.folder / "installed" / "shortcut_lab" / "cooled.py").unlink()
    (lab.folder / "installed" / "shortcut_lab" / "ledger.py").unlink()
    broken = lab.seraser("plan", "ledger.yaml", code=2)
    assert "dataset.format: shortcut_lab.ledger:LedgerSource of shortcut-lab 1.0" in broken.stderr
    assert "hint: repair, update or uninstall shortcut-lab" in broken.stderr
    (lab.folder / "installed" / "shortcut_lab" / "options.py").unlink()
    listed = lab.seraser("methods")
    assert "WARNING: shortcut-lab 1.0 (entry point cooled = shortcut_lab.options" in listed.stderr
    assert "zero_shot" in listed.stdout
    broken = lab.seraser("plan", "ledger.yaml", code=2)
    assert "methods.1: shortcut-lab 1.0 (entry point cooled" in broken.stderr
