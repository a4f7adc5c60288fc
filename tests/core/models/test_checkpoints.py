"""Weights files of all kinds: they are loaded whole, or refused by what they hold."""

from __future__ import annotations

import os

import pytest
import torch

from seraser_core.config.options import ModelOptions
from seraser_core.errors import ConfigError
from seraser_core.models.loading import get_model

CLS = "vision_model.embeddings.class_embedding"
ATTENTION = "vision_model.encoder.layers.0.self_attn"
MOBILE = "image_encoder.model.patch_emb.0.block.conv.weight"


@pytest.fixture
def state(tiny_model):
    return {name: tensor + 0.01 for name, tensor in tiny_model.net.state_dict().items()}


@pytest.fixture
def load(tiny_json, tmp_path):
    """Loads the tiny model with what torch has saved of an object."""

    def loaded(content):
        path = tmp_path / "weights.pt"
        torch.save(content, path)
        return get_model(ModelOptions(name=tiny_json, pretrained=str(path), device="cpu"))

    return loaded


def refused(load, content):
    with pytest.raises(ConfigError) as caught:
        load(content)
    assert caught.value.field == "model.pretrained"
    assert "weights.pt" in caught.value.value
    return caught.value.remedy


def changed(state, change):
    return {name: change(tensor) if tensor.ndim else tensor for name, tensor in state.items()}


def test_the_model_of_a_training_programs_checkpoint_is_found(load, state):
    expected = load(state).weights_hash
    beside = {"epoch": 3, "args": None, "optimizer": {"state": {0: {"step": torch.zeros(1)}}}}
    for content in [
        {"state_dict": state},
        {"state_dict": state, **beside},
        {"model": state, **beside},
        {f"module.{name}": tensor for name, tensor in state.items()},
        {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}},
    ]:
        assert load(content).weights_hash == expected


def test_a_checkpoint_of_several_models_is_refused(load, state):
    found = refused(load, {"model": state, "model_ema": state, "epoch": 3})
    assert "model (dict), model_ema (dict), epoch (int)" in found
    assert "save the model's tensors alone" in found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds no tensor"),
        ([1], "holds a list"),
        (torch.zeros(3), "holds a Tensor"),
        ({"state_dict": None}, "state_dict (NoneType)"),
        ({"state_dict": {}}, "state_dict (dict)"),
        ({"net": {"a": torch.zeros(1)}, "epoch": 3}, "net (dict), epoch (int)"),
        ({1: torch.zeros(1)}, "1 (Tensor)"),
        ({"params": 1}, "params (int)"),
        ({CLS: torch.zeros(4), 1: torch.zeros(1)}, "1 (Tensor)"),
        ({CLS: torch.zeros(4), "text_projection.weight": 3}, "text_projection.weight (int)"),
        ({MOBILE: torch.zeros(1)}, f"holds {MOBILE}, which are not of this model"),
        (
            {
                CLS: torch.zeros(4),
                f"{ATTENTION}.q_proj.weight": torch.zeros(3, 2),
                f"{ATTENTION}.k_proj.weight": torch.zeros(3, 5),
            },
            "which are not of this model",
        ),
        ({CLS: torch.zeros(4), f"{ATTENTION}.q_proj.weight": torch.tensor(1.0)}, "of this model"),
    ],
    ids=range(13),
)
def test_what_is_no_model_is_named(load, content, message):
    assert message in refused(load, content)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"x": [1]}, "it holds x (list) beside"),
        ({"epoch": 3}, "it holds epoch (int) beside"),
        ({"logit_scale": 4.6}, "it holds logit_scale (float) beside"),
        ({1: torch.zeros(1)}, "it holds 1 (Tensor) beside"),
        ({"logit_scale": torch.zeros(2)}, "logit_scale: file (2,), model ()"),
        ({"visual.trunk.x": torch.zeros(1)}, "unexpected visual.trunk.x (1,)"),
    ],
)
def test_what_is_too_much_beside_a_model_is_named(load, state, more, message):
    assert message in refused(load, state | more)
    assert message in refused(load, {"state_dict": state | more})


def test_tensors_that_are_no_weights_are_named(load, state):
    for change, message in [
        (lambda t: t.to(torch.int8), "file torch.int8, model torch.float32"),
        (lambda t: t.to(torch.complex64), "positional_embedding is complex"),
        (lambda t: t.to_sparse(), "positional_embedding is sparse_coo"),
        (lambda t: t.to("meta"), "positional_embedding is without values"),
    ]:
        assert message in refused(load, changed(state, change))


def test_half_precision_is_loaded(load, state):
    assert load(changed(state, torch.Tensor.half)).net.visual.proj.dtype == torch.float32


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_pipes_and_folders_are_no_weights(tiny_json, tmp_path, ending):
    os.mkfifo(tmp_path / f"pipe{ending}")
    (tmp_path / f"folder{ending}").mkdir()
    for name in ("pipe", "folder"):
        options = ModelOptions(
            name=tiny_json, pretrained=str(tmp_path / f"{name}{ending}"), device="cpu"
        )
        with pytest.raises(ConfigError, match="a folder or a pipe is none"):
            get_model(options)
