"""The demo's model as delivered."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from seraser_core.config.methods.foreground import ForegroundOptions
from seraser_core.config.methods.seraser import SeraserOptions
from seraser_core.config.methods.zero_shot import ZeroShotOptions
from seraser_core.config.options import ModelOptions, RunConfig
from seraser_core.demo.config import MODEL_JSON, SERASER, WEIGHTS, demo_config
from seraser_core.demo.dataset import CONTROL, SHORTCUT, Task, plan_split
from seraser_core.demo.training.data import draw_items
from seraser_core.demo.training.evaluation import Evaluation
from seraser_core.models.causal import CausalPromptEngine
from seraser_core.models.clip_model import get_model
from seraser_core.models.engine import build_engine
from seraser_core.models.prompts import build_prompts

VALIDATION = json.loads((MODEL_JSON.parent / "validation.json").read_text())


def evaluation_of(task: Task) -> Evaluation:
    """Of a quarter of the test pictures: 30 of each group."""
    options = ModelOptions(name=str(MODEL_JSON), pretrained=str(WEIGHTS), device="cpu")
    items = plan_split("test", 120, seed=0, task=task)
    return Evaluation(get_model(options), items, draw_items(items))


@pytest.fixture(scope="module")
def evaluation():
    return evaluation_of(SHORTCUT)


def test_weights_are_small_and_half_precision():
    assert WEIGHTS.stat().st_size <= 6_000_000
    state = load_file(WEIGHTS)
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    assert all(bool(tensor.isfinite().all()) for tensor in state.values())


def test_model_is_an_ordinary_clip_that_the_fast_engine_takes():
    options = ModelOptions(name=str(MODEL_JSON), pretrained=str(WEIGHTS), device="cpu")
    model = get_model(options)
    prompts = build_prompts(["a camel", "a deer"], "a photo of {}", model.tokenizer, 32)
    assert isinstance(build_engine(model, prompts, 3), CausalPromptEngine)
    assert not model.random
    assert model.net.vocab_size == 49408


def test_the_model_has_a_shortcut_and_seraser_erases_it(evaluation):
    zero_shot = evaluation.accuracies(ZeroShotOptions())
    seraser = evaluation.accuracies(SeraserOptions.model_validate(SERASER))
    assert seraser.worst >= zero_shot.worst + 0.4
    assert seraser.average >= zero_shot.average + 0.15
    assert evaluation.accuracies(ForegroundOptions()).worst >= 0.9


def test_seraser_does_little_harm_where_no_shortcut_is_offered():
    control = evaluation_of(CONTROL)
    zero_shot = control.accuracies(ZeroShotOptions())
    seraser = control.accuracies(SeraserOptions.model_validate(SERASER))
    assert zero_shot.average >= 0.95
    assert seraser.average >= zero_shot.average - 0.03


def test_options_are_those_chosen_on_validation_pictures():
    assert VALIDATION["chosen"] == SERASER
    best = max(VALIDATION["tried"], key=lambda row: (row["worst group"], row["average"]))
    assert {name: best[name] for name in SERASER} == SERASER


def test_run_config(tmp_path):
    config = RunConfig.model_validate(demo_config(str(tmp_path / "metadata.csv"), str(tmp_path)))
    assert [m.id for m in config.methods] == ["zero_shot", "seraser", "foreground"]
    assert 480 / config.shard.max_items >= 4
    assert config.dataset.split is not None
    assert config.dataset.split.values == [2]
