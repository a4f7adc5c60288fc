"""Relevance masks against their literal twin, and on the demo's pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from literal_relevance import literal_evidence, literal_otsu
from PIL import Image

from seraser_core.auxiliary.relevance import (
    Relevance,
    above_threshold,
    check_relevance,
    patch_evidence,
)
from seraser_core.config.auxiliary import RelevanceOptions
from seraser_core.config.options import ModelOptions
from seraser_core.demo.config import MODEL_JSON, WEIGHTS
from seraser_core.demo.dataset import SHORTCUT, plan_split
from seraser_core.demo.training.data import draw_items
from seraser_core.errors import ConfigError
from seraser_core.models.clip_model import get_model


@pytest.fixture(scope="module")
def demo_model():
    options = ModelOptions(name=str(MODEL_JSON), pretrained=str(WEIGHTS), device="cpu")
    return get_model(options)


@pytest.fixture(scope="module")
def demo(demo_model):
    """Sixteen validation pictures as the model sees them, and their true masks."""
    drawn = draw_items(plan_split("validation", 16, seed=0))
    pixels = torch.stack([demo_model.preprocessing.resize(p.image) for p in drawn])
    size = tuple(pixels.shape[-2:])
    true = [Image.fromarray(p.mask).resize(size[::-1], Image.Resampling.NEAREST) for p in drawn]
    return pixels, np.stack([np.asarray(mask) for mask in true])


def relevance_of(model, **given):
    prompts = model.tokenizer([f"a photo of {name}" for name in SHORTCUT.classes])
    return Relevance(RelevanceOptions(**given), model, model.encode_text(prompts))


def test_evidence_is_that_of_the_literal_twin(demo_model, demo):
    pixels = demo[0][:3]
    tokens = demo_model.tokenizer([f"a photo of {name}" for name in SHORTCUT.classes])
    neutral = demo_model.tokenizer(["a photo of a place"])
    direction = demo_model.encode_text(tokens).mean(0) - demo_model.encode_text(neutral)[0]
    ours = patch_evidence(demo_model, pixels, direction)
    for one, picture in zip(ours, demo_model.preprocessing.normalise(pixels), strict=True):
        twin = literal_evidence(demo_model.net, picture, tokens, neutral)
        np.testing.assert_allclose(one.numpy(), twin, rtol=1e-3, atol=1e-5)


@given(arrays(np.float32, (6, 7), elements=st.floats(-4, 4, width=32, allow_subnormal=False)))
def test_otsu_is_the_best_of_all_levels(values):
    ours = above_threshold(torch.from_numpy(values)[None], "otsu")[0].numpy()
    twin = literal_otsu(values)
    # Levels between which no value lies are equally good.
    assert ours.sum() == twin.sum() or _within(values, ours) == pytest.approx(
        _within(values, twin), rel=1e-4, abs=1e-4
    )


def _within(values, mask):
    low, high = values.min(), values.max()
    bins = np.minimum(((values - low) / (high - low) * 256).astype(int), 255)
    return sum(part.size * part.var() for part in (bins[mask], bins[~mask]) if part.size)


def test_a_threshold_is_a_part_of_the_range():
    maps = torch.tensor([[[0.0, 1.0, 2.0, 4.0]], [[5.0, 5.0, 5.0, 5.0]]])
    above = above_threshold(maps, 0.4)
    assert above[0].tolist() == [[False, False, True, True]]
    assert not above[1].any()
    assert not above_threshold(maps, "otsu")[1].any()


def test_masks_do_not_depend_on_the_batch(demo_model, demo):
    relevance = relevance_of(demo_model)
    together = relevance.masks(demo[0])
    alone = torch.cat([relevance.masks(one[None]) for one in demo[0]])
    assert (together != alone).float().mean() < 1e-4  # of pixels, by rounding at the threshold


def test_masks_find_the_animals(demo_model, demo):
    pixels, true = demo
    found = relevance_of(demo_model).masks(pixels).numpy()
    union = (found | true).sum((1, 2))
    overlap = (found & true).sum((1, 2)) / union
    assert overlap.mean() > 0.3
    lower = relevance_of(demo_model, threshold=0.2).masks(pixels).numpy()
    higher = relevance_of(demo_model, threshold=0.6).masks(pixels).numpy()
    assert higher.sum() < lower.sum()
    assert not (higher & ~lower).any()


def test_no_gradient_reaches_the_model(demo_model, demo):
    relevance_of(demo_model).masks(demo[0][:2])
    assert all(p.grad is None and not p.requires_grad for p in demo_model.net.parameters())


def test_a_long_neutral_prompt_is_refused_not_cut(demo_model):
    with pytest.raises(ConfigError, match=r"relevance\.neutral"):
        relevance_of(demo_model, neutral="a place " * 60)


def test_a_tower_with_an_attentional_pool_is_taken(tmp_path):
    config = {
        "embed_dim": 32,
        "vision_cfg": {
            **{"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 16},
            "attentional_pool": True,
            "attn_pooler_heads": 4,
            "output_tokens": True,
        },
        "text_cfg": {
            **{"context_length": 76, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
            **{"embed_cls": True, "output_tokens": True},
        },
        "multimodal_cfg": {"context_length": 76, "width": 64, "heads": 4, "layers": 1},
        "custom_text": True,
    }
    (tmp_path / "coca.json").write_text(json.dumps(config))
    options = ModelOptions(name=str(tmp_path / "coca.json"), pretrained=None, device="cpu")
    model = get_model(options)
    assert type(model.net).__name__ == "CoCa"
    check_relevance(model, "methods.0.auxiliary")
    pictures = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    evidence = patch_evidence(model, pictures, torch.randn(32))
    assert evidence.shape == (2, 4, 4)
    assert (evidence > 0).all()


def test_other_image_towers_are_refused(tmp_path, tiny_model):
    check_relevance(tiny_model, "methods.0.auxiliary")
    config = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 64,
            "heads": 4,
            "layers": 1,
        },
    }
    (tmp_path / "resnet.json").write_text(json.dumps(config))
    options = ModelOptions(name=str(tmp_path / "resnet.json"), pretrained=None, device="cpu")
    with pytest.raises(ConfigError, match=r"ModifiedResNet.*augment"):
        check_relevance(get_model(options), "methods.erase.auxiliary")
