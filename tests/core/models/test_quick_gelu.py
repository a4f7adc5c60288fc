"""QuickGELU folded into the weights, against open_clip's own."""

from __future__ import annotations

import copy
import json
from collections import OrderedDict
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU
from safetensors.torch import save_file
from torch import nn

from seraser_core.config.options import ModelOptions
from seraser_core.models.clip_model import get_model, hash_weights
from seraser_core.models.quick_gelu import fold_quick_gelu


@pytest.fixture(params=["CLIP", "custom text", "CoCa"])
def quick(request, tiny_json, tmp_path):
    """Open_clip's network with QuickGELU, and the model that is loaded from its weights."""
    document = json.loads(Path(tiny_json).read_text()) | {"quick_gelu": True}
    if request.param != "CLIP":
        document |= {"custom_text": True}
    if request.param == "CoCa":
        document["text_cfg"] |= {"context_length": 76, "embed_cls": True, "output_tokens": True}
        pooled = {"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True}
        document["vision_cfg"] |= pooled
        document["multimodal_cfg"] = {"context_length": 76, "width": 64, "heads": 4, "layers": 1}
    path = tmp_path / "quick.json"
    path.write_text(json.dumps(document))
    open_clip.add_model_config(path)
    net = open_clip.create_model("quick", pretrained_text=False).eval()
    for weight in net.parameters():  # some of CoCa's are not initialised
        if not weight.isfinite().all() or weight.abs().max() > 100:
            nn.init.normal_(weight, std=0.02)
    weights = tmp_path / "quick.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, weights)
    return net, get_model(ModelOptions(name=str(path), pretrained=str(weights), device="cpu"))


@torch.no_grad()
def test_features_are_those_of_the_network_before_it_was_folded(quick):
    net, model = quick
    kinds = {type(module) for module in model.net.modules()}
    assert QuickGELU not in kinds and nn.SiLU in kinds
    tokens = model.tokenizer(["a photo of a camel", "a deer"])
    pictures = torch.randn(3, 3, *model.preprocessing.size)
    for ours, theirs in (
        (model.net.encode_text(tokens), net.encode_text(tokens)),
        (model.net.encode_image(pictures), net.encode_image(pictures)),
    ):
        assert theirs.abs().max() > 0
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_the_hash_is_that_of_the_weights_as_they_were_saved(quick):
    net, model = quick
    assert model.weights_hash == hash_weights(net)
    assert model.weights_hash != hash_weights(model.net)


@torch.no_grad()
def test_folding_before_the_cast_to_bf16_loses_no_precision():
    torch.manual_seed(0)
    kinds = ("c_fc", nn.Linear(64, 256)), ("gelu", QuickGELU()), ("c_proj", nn.Linear(256, 64))
    net = nn.Sequential(OrderedDict(block=nn.Sequential(OrderedDict(kinds))))
    x = torch.randn(4096, 64)
    exact = net(x)
    as_it_is = copy.deepcopy(net).bfloat16()(x.bfloat16())
    fold_quick_gelu(net)
    folded = net.bfloat16()(x.bfloat16())
    errors = [(each.float() - exact).norm() / exact.norm() for each in (folded, as_it_is)]
    assert errors[0] <= 1.05 * errors[1]


def test_other_activations_and_blocks_stay():
    def block(activation, *between):
        parts = ("c_fc", nn.Linear(4, 8)), ("gelu", activation), *between
        return nn.Sequential(OrderedDict([*parts, ("c_proj", nn.Linear(8, 4))]))

    for other in (block(nn.GELU()), block(QuickGELU(), ("ln", nn.LayerNorm(8)))):
        before = hash_weights(other)
        fold_quick_gelu(nn.Sequential(other))
        assert hash_weights(other) == before
        assert not isinstance(other.gelu, nn.SiLU)
    between = block(QuickGELU(), ("ln", nn.Identity()))
    fold_quick_gelu(nn.Sequential(between))
    assert isinstance(between.gelu, nn.SiLU), "nothing is between"
