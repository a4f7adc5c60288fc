"""Models by name and from a model JSON: what makes another network, or none, is refused."""

from __future__ import annotations

import open_clip
import pytest
from open_clip.pretrained import get_pretrained_cfg

from seraser_core.config.options import ModelOptions
from seraser_core.errors import ConfigError
from seraser_core.models import open_clip_models
from seraser_core.models.loading import get_model


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
