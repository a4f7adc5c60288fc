"""The engine against the floors, measured by the command that people use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from floors import FLOORS

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]
_COMMAND = Path(__file__).parent / "engine.py"


def needs_cuda(test):
    skip = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    return pytest.mark.gpu(skip(test))


def name(floor: dict[str, Any]) -> str:
    return f"{floor['model']}-{floor['classes']}"


def on_this_device(floor: dict[str, Any]) -> bool:
    """Whether figures that are no ratios are for this GPU."""
    return any(one in torch.cuda.get_device_name() for one in floor["devices"])


@pytest.fixture
def measure(tmp_path):
    """Runs engine.py with some arguments; returns the rows that it writes."""

    def run(*arguments: object) -> list[dict[str, Any]]:
        path = tmp_path / "rows.json"
        command = [sys.executable, _COMMAND, *arguments, "--json", path]
        subprocess.run([str(part) for part in command], check=True)
        return json.loads(path.read_text())["rows"]

    return run


@pytest.mark.parametrize("floor", FLOORS["engine_cpu"], ids=name)
def test_engine_on_a_processor(measure, floor):
    """Against the literal procedure with frozen towers, where that fits into memory."""
    literal = ["frozen"] if "frozen_ratio" in floor else []
    how = "--device", "cpu", "--literal", *literal, "--timed-steps", floor["timed_steps"]
    case = "--models", floor["model"], "--classes", floor["classes"]
    (row,) = measure(*case, *how, "--repeats", 4)
    assert row["matrix_rate_share"] >= floor["matrix_rate_share"]
    if literal:
        assert row["frozen"]["ratio"] >= floor["frozen_ratio"]
        assert row["frozen"]["difference"] < 1e-3


def test_many_classes_on_a_large_model_fit_into_the_memory(measure):
    floor = FLOORS["engine_memory"]
    how = "--device", "cpu", "--literal", "--timed-steps", 1, "--repeats", 1
    case = "--models", floor["model"], "--classes", floor["classes"], "--batch", floor["batch"]
    (row,) = measure(*case, *how)
    assert row["peak_gib"] <= floor["gib"]


@needs_cuda
@pytest.mark.parametrize("floor", FLOORS["engine_cuda"], ids=name)
def test_engine_on_cuda(measure, floor):
    case = "--models", floor["model"], "--classes", floor["classes"], "--device", "cuda"
    (row,) = measure(*case, "--kernels", floor["kernels"], "--literal")
    assert not row["warnings"], "steps not recorded, or other kernels"
    if "matrix_rate_share" in floor:
        assert row["matrix_rate_share"] >= floor["matrix_rate_share"]
    elif on_this_device(floor):
        assert row["images_per_s"] >= floor["images_per_s"]
    else:
        pytest.skip(f"{row['images_per_s']:.0f} images/s; the floor is for {floor['devices']}")


@needs_cuda
@pytest.mark.parametrize("floor", FLOORS["agreement_cuda"], ids=name)
def test_bf16_predicts_what_fp32_does(measure, floor):
    case = "--models", floor["model"], "--classes", floor["classes"], "--device", "cuda"
    (row,) = measure(*case, "--agreement", floor["images"])
    assert row["agreement"] >= floor["agreement"]
    assert row["margin"] < floor["margin"]
