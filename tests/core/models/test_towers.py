"""Towers of other families, tiny and with random weights, against the models' own code."""

from __future__ import annotations

import json

import literal_seraser as literal
import pytest
import torch
from literal_towers import encode_prompts

from seraser_core.config.methods.seraser import SeraserOptions
from seraser_core.config.methods.zero_shot import ZeroShotOptions
from seraser_core.config.options import ModelOptions
from seraser_core.methods import MethodContext, method_class
from seraser_core.methods.zero_shot import ZeroShot
from seraser_core.models.causal import CausalPromptEngine
from seraser_core.models.clip_model import get_model
from seraser_core.models.plain import PlainPromptEngine
from seraser_core.models.prompts import build_prompts

CLASSES = ["a camel", "a deer on the lake", "a red-billed oxpecker"]
VIEWS = ("image", "mask_background", "mask_foreground")
VIT = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 16}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 3}
TOWERS = {
    "SigLIP": {
        "embed_dim": 192,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 224,
            "timm_model_name": "vit_tiny_patch16_224",
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            **TEXT,
            "context_length": 64,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
        },
    },
    "CoCa": {
        "embed_dim": 32,
        "custom_text": True,
        "vision_cfg": VIT
        | {"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True},
        "text_cfg": TEXT | {"context_length": 76, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {"context_length": 76, "width": 64, "heads": 4, "layers": 1},
    },
    "short context": {
        "embed_dim": 32,
        "vision_cfg": VIT,
        "text_cfg": TEXT | {"context_length": 16},
    },
    "RN50": {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
        "text_cfg": TEXT,
    },
}
FAST = {"short context", "RN50"}


@pytest.fixture(params=TOWERS)
def model(request, tmp_path):
    path = tmp_path / f"{request.param}.json"
    path.write_text(json.dumps(TOWERS[request.param]))
    found = get_model(ModelOptions(name=str(path), pretrained=None, device="cpu"))
    engine = context_of(found).engine(3)
    fast = request.param in FAST
    assert isinstance(engine, CausalPromptEngine if fast else PlainPromptEngine)
    return found


def context_of(model) -> MethodContext:
    return MethodContext(
        model, build_prompts(CLASSES, "a photo of {}", model.tokenizer, model.context_length)
    )


@pytest.fixture
def pictures(model):
    """View name -> (B, 1, 3, H, W) random preprocessed pictures of three images."""
    generator = torch.Generator().manual_seed(3)
    shape = (3, 1, 3, *model.preprocessing.size)
    return {name: torch.randn(shape, generator=generator) for name in VIEWS}


def features_of(model, pictures):
    return {name: model.encode_image(x[:, 0])[:, None] for name, x in pictures.items()}


def tokens_of(model):
    texts = [f"a photo of {name}" for name in CLASSES]
    return model.tokenizer(texts)[:, : model.context_length]


def test_zero_shot_is_the_models_own(model, pictures):
    method = ZeroShot(ZeroShotOptions(), context_of(model))
    found = method.predict(features_of(model, pictures)).logits
    with torch.no_grad():
        image = model.net.encode_image(pictures["image"][:, 0], normalize=True)
        text = model.net.encode_text(
            model.tokenizer([f"a photo of {name}" for name in CLASSES], model.context_length),
            normalize=True,
        )
    expected = model.net.logit_scale.exp() * image @ text.T
    assert (found - expected).abs().max() <= 1e-4


def test_seraser_is_the_literal_twin(model, pictures, monkeypatch):
    monkeypatch.setattr(literal, "encode_prompts", encode_prompts)
    options = SeraserOptions(preset="reference", steps=5, lr=5e-3)
    context = context_of(model)
    scores = method_class(options)(options, context).predict(features_of(model, pictures))
    black = torch.zeros(1, 3, *model.preprocessing.size, dtype=torch.uint8)
    black = model.preprocessing.normalise(black)[0]
    tokens = context.prompts.tokens
    moved = 0.0
    for i in range(len(pictures["image"])):
        image, background, foreground = (pictures[name][i, 0] for name in VIEWS)
        logits, losses = literal.adapt(
            model.net,
            tokens,
            image,
            [background, black],
            [foreground],
            kl=options.kl,
            foreground_term=options.foreground,
            steps=options.steps,
            lr=options.lr,
        )
        assert (scores.logits[i] - logits).abs().max() <= 1e-3
        assert scores.loss_first[i] == pytest.approx(losses[0], abs=1e-4)
        untouched = encode_prompts(model.net, tokens, context.engine(3).initial_prompt)
        before, _ = literal.probabilities(model.net, image, untouched)
        moved = max(moved, float((logits - before).abs().max()))
    assert moved > 2e-2, "a comparison in which nothing moved shows nothing"
