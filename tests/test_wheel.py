"""The wheel leaves out the training of the demo's model, and nothing in it needs that."""

from __future__ import annotations

import subprocess
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
TRAINING = "seraser_core/demo/training"


def test_the_demo_is_shipped_without_its_training(tmp_path):
    build = ["uv", "build", "--quiet", "--wheel", "--out-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        modules = {name: archive.read(name).decode() for name in names if name.endswith(".py")}
    assert (ROOT / TRAINING / "train.py").is_file()
    assert "seraser_core/demo/model/seraser-demo.safetensors" in names
    assert not [name for name in names if name.startswith(TRAINING)]
    assert not [name for name, text in modules.items() if TRAINING.replace("/", ".") in text]
