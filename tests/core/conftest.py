"""Small models that the tests make themselves."""

from __future__ import annotations

import json

import pytest

from seraser_core.config.options import ModelOptions
from seraser_core.models.loading import ClipModel, get_model

TINY_CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 3},
}


@pytest.fixture(scope="session")
def tiny_json(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of an open_clip model JSON of a tiny CLIP."""
    path = tmp_path_factory.mktemp("model") / "tiny.json"
    path.write_text(json.dumps(TINY_CLIP))
    return str(path)


@pytest.fixture
def tiny_model(tiny_json: str) -> ClipModel:
    """A tiny CLIP with random weights, fp32 on the CPU."""
    return get_model(ModelOptions(name=tiny_json, pretrained=None, device="cpu"))
