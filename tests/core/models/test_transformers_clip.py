"""CLIP models that transformers has saved, against transformers' own code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch.nn.functional import normalize

from seraser_core.config import load_config
from seraser_core.config.options import ModelOptions
from seraser_core.errors import ConfigError
from seraser_core.methods import Setting
from seraser_core.models.causal import CausalPromptEngine
from seraser_core.models.loading import get_model
from seraser_core.models.prompts import build_prompts

CLASSES = ["a camel", "a deer on the lake"]


@pytest.fixture(params=["quick_gelu", "gelu"])
def saved(request, tmp_path):
    """A tiny CLIP with random weights and its folder."""
    torch.manual_seed(0)
    shared = {
        "hidden_act": request.param,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "projection_dim": 32,
    }
    config = transformers.CLIPConfig(
        text_config={
            **shared,
            "hidden_size": 48,
            "intermediate_size": 80,
            "vocab_size": 49408,
            "bos_token_id": 49406,
            "eos_token_id": 49407,
        },
        vision_config={
            **shared,
            "hidden_size": 64,
            "intermediate_size": 256,
            "image_size": 32,
            "patch_size": 8,
        },
        projection_dim=32,
    )
    net = transformers.CLIPModel(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.05 * torch.randn(parameter.shape)
    net.save_pretrained(tmp_path / "clip")
    transformers.CLIPImageProcessor(
        size={"shortest_edge": 32},
        crop_size={"height": 32, "width": 32},
        image_mean=[0.5, 0.4, 0.3],
        image_std=[0.2, 0.25, 0.3],
    ).save_pretrained(tmp_path / "clip")
    return net, tmp_path / "clip"


def load(folder, **given):
    return get_model(ModelOptions(name=str(folder), device="cpu", **given))


def test_features_are_those_of_transformers(saved):
    net, folder = saved
    model = load(folder)
    assert not model.random
    picture = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    )
    pixels = model.preprocess(picture)[None]
    described = model.preprocessing.describe()
    assert (described["mean"], described["std"]) == ([0.5, 0.4, 0.3], [0.2, 0.25, 0.3])
    setting = Setting(model, build_prompts(CLASSES, "a photo of {}", model.tokenizer, 77))
    assert isinstance(setting.engine(3), CausalPromptEngine)
    with torch.no_grad():
        outputs = net(input_ids=setting.prompts.tokens, pixel_values=pixels)
    assert (model.encode_image(pixels) - normalize(outputs.image_embeds)).abs().max() <= 1e-5
    assert (setting.class_features - normalize(outputs.text_embeds)).abs().max() <= 1e-5
    assert model.logit_scale == pytest.approx(float(net.logit_scale.detach().exp()))


def test_the_folder_in_a_configuration(saved, tree, tmp_path):
    _, folder = saved
    path = tmp_path / "run.yaml"
    tree["model"] = {"name": "./clip", "device": "cpu"}
    path.write_text(json.dumps(tree))
    model = load_config(path).model
    assert model.name == str(folder)
    assert model.pretrained == str(folder / "model.safetensors")
    assert load_config(path, ["model.pretrained=null"]).model.pretrained is None


def test_folders_that_cannot_be_used(saved, tmp_path):
    _, folder = saved
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        load(tmp_path / "empty")
    config = json.loads((folder / "config.json").read_text())

    def refused(**changes):
        other = tmp_path / f"other-{len(list(tmp_path.iterdir()))}"
        other.mkdir()
        (other / "config.json").write_text(json.dumps(config | changes))
        with pytest.raises(ConfigError) as caught:
            load(other)
        return str(caught.value)

    assert "of type siglip" in refused(model_type="siglip")
    vision = config["vision_config"]
    assert "hidden_size" in refused(
        vision_config={k: v for k, v in vision.items() if k != "hidden_size"}
    )
    assert "activations" in refused(vision_config=vision | {"hidden_act": "relu"})
    assert "there is no such file" in refused()
    (folder / "preprocessor_config.json").write_text("{")
    with pytest.raises(ConfigError, match="is no JSON"):
        load(folder)
    (folder / "preprocessor_config.json").unlink()
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:4000])
    with pytest.raises(ConfigError, match="not a readable weights file"):
        load(folder)
    assert Path(folder, "model.safetensors").exists()
