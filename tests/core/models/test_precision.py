"""Constants of a run with bf16 towers: none of them passes through bf16."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from seraser_core.config.methods.zero_shot import ZeroShotOptions
from seraser_core.config.options import ModelOptions
from seraser_core.methods import MethodContext
from seraser_core.methods.zero_shot import ZeroShot
from seraser_core.models.clip_model import get_model
from seraser_core.models.prompts import build_prompts

CLASSES = ["a camel", "a deer on the lake", "a red-billed oxpecker"]
SCALES = [100.0, 1 / 0.07, 117.33]
SIGLIP = {"custom_text": True, "init_logit_bias": -16.7, "nonscalar_logit_scale": True}


def load(name, weights=None, precision="bf16"):
    return get_model(ModelOptions(name=name, pretrained=weights, precision=precision, device="cpu"))


@pytest.fixture(params=["CLIP", "SigLIP"])
def saved(request, tiny_json, tmp_path):
    """Model JSON, and a function that saves its weights with a logit scale."""
    name = tiny_json
    if request.param == "SigLIP":  # its scale has a dimension, and there is a bias beside it
        document = json.loads(Path(tiny_json).read_text()) | SIGLIP
        path = tmp_path / "siglip.json"
        path.write_text(json.dumps(document))
        name = str(path)
    state = load(name, precision="fp32").net.state_dict()
    assert ("logit_bias" in state) == (request.param == "SigLIP")

    def save(scale):
        path = tmp_path / f"{scale}.safetensors"
        save_file(state | {"logit_scale": torch.full_like(state["logit_scale"], scale)}, path)
        return str(path)

    return name, save


@pytest.mark.parametrize("scale", SCALES)
def test_the_logit_scale_is_that_of_the_fp32_weights(saved, scale):
    name, save = saved
    model = load(name, save(math.log(scale)))
    assert {p.dtype for p in model.net.parameters()} == {torch.bfloat16}
    assert model.logit_scale == pytest.approx(scale, rel=1e-6)
    prompts = build_prompts(CLASSES, "a photo of {}", model.tokenizer, model.context_length)
    context = MethodContext(model, prompts)
    image = context.class_features[:1, None]  # its cosine with the first class is 1
    logits = ZeroShot(ZeroShotOptions(), context).predict({"image": image}).logits
    assert float(logits[0, 0]) == pytest.approx(scale, rel=1e-5)


def test_the_black_image_has_the_feature_of_the_fp32_weights(saved):
    name, save = saved
    weights = save(0.0)
    expected = load(name, weights, "fp32").black_feature
    model = load(name, weights)
    assert torch.equal(model.black_feature, expected)
    through_bf16 = model.encode_image(model.preprocessing.black()[None])[0]
    assert not torch.equal(through_bf16, expected)


def test_texts_are_encoded_in_fp32(saved):
    model = load(saved[0])
    tokens = model.tokenizer([f"a photo of {name}" for name in CLASSES])
    twin = copy.deepcopy(model.net).float()
    with torch.no_grad():
        expected, rounded = twin.encode_text(tokens), model.net.encode_text(tokens).float()
    assert (model.embed_text(tokens) - expected).abs().max() <= 1e-6
    assert (rounded - expected).abs().max() > 1e-3
    assert {p.dtype for p in model.net.parameters()} == {torch.bfloat16}, "left as it was"


def test_tuning_begins_at_the_fp32_sum_of_token_and_position(tiny_json):
    model = load(tiny_json)
    prompts = build_prompts(CLASSES, "a photo of {}", model.tokenizer, model.context_length)
    ids = prompts.tokens[0, 1:4]
    expected = (
        model.net.token_embedding.weight[ids].float() + model.net.positional_embedding[1:4].float()
    )
    assert torch.equal(MethodContext(model, prompts).engine(3).initial_prompt, expected)
    assert not torch.equal(expected, expected.bfloat16().float())
