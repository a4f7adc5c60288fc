"""A model whose weights are loaded draws none before; one that was left out is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from seraser_core.config.options import ModelOptions
from seraser_core.errors import ConfigError
from seraser_core.models import open_clip_models
from seraser_core.models.clip_model import get_model
from seraser_core.models.undrawn import Undrawn


@pytest.fixture
def build(tiny_json):
    config = json.loads(Path(tiny_json).read_text())
    return lambda: open_clip.model.CLIP(**config)


@pytest.fixture
def weights(tiny_model, tmp_path) -> str:
    path = str(tmp_path / "weights.safetensors")
    save_file({k: v.clone() for k, v in tiny_model.net.state_dict().items()}, path)
    return path


def test_only_what_is_drawn_at_random_is_left_out(build):
    one, other = build().state_dict(), build()
    with Undrawn():
        net = build()
    for name, tensor in other.state_dict().items():
        drawn = not tensor.equal(one[name])
        assert drawn or net.state_dict()[name].equal(tensor), name
    assert net.attn_mask.equal(other.attn_mask)  # in no file of weights
    weights = [block.mlp.c_fc.weight for block in net.transformer.resblocks]
    assert all((weight == 0).all() for weight in weights)
    assert (torch.nn.Linear(2, 2).weight != 0).all()


@pytest.mark.filterwarnings("ignore:mean is more than 2 std")
@pytest.mark.parametrize(("low", "high"), [(-2, 2), (0.5, 0.6), (7, 9)])
def test_drawing_until_a_value_fits_ends(low, high):
    with Undrawn():
        drawn = torch.nn.init.trunc_normal_(torch.empty(50), 0, 1, low, high)
    assert ((low <= drawn) & (drawn <= high)).all()


def test_the_weights_are_all_those_of_the_file(tiny_json, tiny_model, weights, monkeypatch):
    built = []
    load = open_clip_models.load_file

    def watched(net, file):
        built.append(bool(net.token_embedding.weight.isnan().all()))
        load(net, file)

    monkeypatch.setattr(open_clip_models, "load_file", watched)
    model = get_model(ModelOptions(name=tiny_json, pretrained=weights, device="cpu"))
    assert built == [True]
    assert model.weights_hash == tiny_model.weights_hash


def test_a_tensor_that_loading_leaves_out_is_named(tiny_json, weights, monkeypatch):
    def load_most(net, file):
        state = {k: v for k, v in load_file(file).items() if "c_proj" not in k}
        net.load_state_dict(state, strict=False)

    monkeypatch.setattr(open_clip_models, "load_file", load_most)
    with pytest.raises(ConfigError, match=r"c_proj.weight holds NaN"):
        get_model(ModelOptions(name=tiny_json, pretrained=weights, device="cpu"))
