"""Processor time of a small run over that of importing open_clip and building the model alone."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from statistics import median

import numpy as np
import pytest
import yaml
from floors import FLOORS
from inputs import photograph

pytestmark = pytest.mark.benchmark
IMAGES, TURNS = 8, 3
_MODEL = "import open_clip; open_clip.create_model('ViT-B-32'); open_clip.get_tokenizer('ViT-B-32')"
_SERASER = "from seraser_core.cli.entry import main; main()"
# Compiled modules as those of an installation, and threads that do not count while they wait.
_ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
_ENVIRONMENT |= {"OMP_WAIT_POLICY": "passive"}


def _processor_seconds(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", *arguments]
    subprocess.run(command, check=True, capture_output=True, env=_ENVIRONMENT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_small_run_takes_little_more_than_its_model(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        photograph(rng, (320, 240)).save(tmp_path / f"{number}.jpg")
    table = tmp_path / "metadata.csv"
    table.write_text("\n".join(["image", *(f"{number}.jpg" for number in range(IMAGES))]))
    tree = {
        "dataset": {"path": str(table), "classes": ["a cat", "a dog"]},
        "model": {"name": "ViT-B-32", "pretrained": None, "device": "cpu"},
        "methods": ["zero_shot"],
    }
    config = tmp_path / "config.yaml"

    def run(turn: int) -> float:
        config.write_text(yaml.safe_dump(tree | {"output": str(tmp_path / f"runs{turn}")}))
        return _processor_seconds(_SERASER, "run", str(config), "--no-prefect")

    run(-1), _processor_seconds(_MODEL)  # warm
    pairs = [(run(turn), _processor_seconds(_MODEL)) for turn in range(TURNS)]
    print("run and model", *(f"{ours:.2f} {model:.2f}," for ours, model in pairs))
    ratio = median(ours / model for ours, model in pairs)
    print(f"a run takes {ratio:.2f} times the processor time of its model")
    assert ratio <= FLOORS["startup"]["over_model"]
