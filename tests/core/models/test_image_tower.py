"""Image features without the tokens that none depends on, against open_clip's own towers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from seraser_core.config.options import ModelOptions
from seraser_core.models import blocks
from seraser_core.models.clip_model import get_model
from seraser_core.models.image_tower import ImageTower, serves

CHANGES = {
    "as it is": ({}, True),
    "QuickGELU": ({"quick_gelu": True}, True),
    "layer scale": ({"vision_cfg": {"ls_init_value": 0.1}}, True),
    "norm after the pool": ({"vision_cfg": {"final_ln_after_pool": True}}, True),
    "one layer": ({"vision_cfg": {"layers": 1}}, True),
    "mean of the patches": ({"vision_cfg": {"pool_type": "avg"}}, False),
    "pool by attention": (
        {"vision_cfg": {"attentional_pool": True, "attn_pooler_heads": 4}},
        False,
    ),
}


@pytest.fixture(params=CHANGES)
def model(request, tiny_json, tmp_path):
    changes, served = CHANGES[request.param]
    document = json.loads(Path(tiny_json).read_text())
    for name, change in changes.items():
        document[name] = document[name] | change if isinstance(change, dict) else change
    path = tmp_path / "tower.json"
    path.write_text(json.dumps(document))
    found = get_model(ModelOptions(name=str(path), pretrained=None, device="cpu"))
    assert serves(found.net.visual) == served
    return found


@torch.no_grad()
def test_features_are_those_of_the_whole_tower(model):
    pictures = torch.randn(5, 3, *model.preprocessing.size)
    expected = model.net.encode_image(pictures)
    assert expected.std(dim=0).max() > 0.01, "pictures differ"
    if serves(model.net.visual):
        found = ImageTower(model.net.visual)(pictures)
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    ours = model.encode_image(pictures)
    assert (ours - torch.nn.functional.normalize(expected, dim=-1)).abs().max() <= 1e-5


@pytest.mark.parametrize("positions", [1, 40, 100])
def test_passes_of_any_size_give_the_same_features(tiny_model, monkeypatch, positions):
    pictures = torch.randn(5, 3, *tiny_model.preprocessing.size)
    expected = tiny_model.encode_image(pictures)
    monkeypatch.setitem(blocks.PASS_POSITIONS, "cpu", positions)
    with torch.no_grad():
        found = torch.nn.functional.normalize(ImageTower(tiny_model.net.visual)(pictures), dim=-1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_the_model_encodes_with_it(model):
    model.encode_image(torch.randn(1, 3, *model.preprocessing.size))
    assert isinstance(model._encode_image, ImageTower) == serves(model.net.visual)
