"""Models by name and from a model JSON: what makes another network, or none, is refused."""

from __future__ import annotations

import open_clip
import pytest
import torch
from open_clip.pretrained import get_pretrained_cfg

from seraser_core.config.options import ModelOptions
from seraser_core.errors import ConfigError
from seraser_core.models import open_clip_models
from seraser_core.models.clip_model import get_model, hash_weights


def options(name, pretrained=None):
    return ModelOptions(name=str(name), pretrained=pretrained and str(pretrained), device="cpu")


def test_weights_of_another_activation_name_the_right_model():
    with pytest.raises(ConfigError, match=r"(?s)model\.name: 'ViT-B-32'.*ViT-B-32-quickgelu"):
        get_model(options("ViT-B-32", "openai"))


def test_all_tags_of_open_clip_are_of_a_model_with_their_activation():
    """Except for one model, whose weights' description says nothing of it."""
    refused, kept = set(), set()
    for name, tag in open_clip.list_pretrained():
        trained = bool(get_pretrained_cfg(name, tag).get("quick_gelu"))
        built = bool(open_clip.get_model_config(name).get("quick_gelu"))
        try:
            open_clip_models.check_activation(name, tag)
        except ConfigError:
            refused.add(name)
            assert trained != built
        else:
            if trained != built:
                kept.add(name)
    assert {"ViT-B-32", "RN50", "ViT-L-14-336"} <= refused
    assert kept == {"roberta-ViT-B-32"}


def test_the_weights_of_a_tag_are_fetched_and_loaded(monkeypatch, tmp_path):
    made = open_clip.create_model("ViT-B-32-quickgelu")
    file = tmp_path / "weights.pt"
    torch.save(made.state_dict(), file)
    monkeypatch.setattr(open_clip_models, "check_fetchable", lambda *_: None)
    monkeypatch.setattr(open_clip_models, "download_pretrained", lambda *_, **__: str(file))
    model = get_model(options("ViT-B-32-quickgelu", "openai"))
    assert model.weights_hash == hash_weights(made)
    assert not model.random
    expected = made.visual.preprocess_cfg
    assert model.net.visual.preprocess_cfg == {**expected, **merge(expected, "openai")}
    file.write_bytes(b"half a file")
    with pytest.raises(ConfigError, match=r"(?s)model\.pretrained: .*weights\.pt.*delete it"):
        get_model(options("ViT-B-32-quickgelu", "openai").model_copy(update={"precision": "bf16"}))


def merge(preprocessing, tag):
    described = get_pretrained_cfg("ViT-B-32-quickgelu", tag)
    return {key: described[key] for key in preprocessing.keys() & described.keys() - {"size"}}
