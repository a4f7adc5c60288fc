"""CLIP models that transformers has saved, against transformers' own code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from torch.nn.functional import normalize

from seraser_core.config import load_config
from seraser_core.config.options import ModelOptions
from seraser_core.errors import ConfigError
from seraser_core.methods import MethodContext
from seraser_core.models.causal import CausalPromptEngine
from seraser_core.models.clip_model import get_model
from seraser_core.models.files import weight_files
from seraser_core.models.prompts import build_prompts

CLASSES = ["a camel", "a deer on the lake"]


def save(folder, text=(), vision=(), act="quick_gelu"):
    """A tiny CLIP with random weights, saved in `folder`."""
    torch.manual_seed(0)
    shared = {
        "hidden_act": act,
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
            **dict(text),
        },
        vision_config={
            **shared,
            "hidden_size": 64,
            "intermediate_size": 256,
            "image_size": 32,
            "patch_size": 8,
            **dict(vision),
        },
        projection_dim=32,
    )
    net = transformers.CLIPModel(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.05 * torch.randn(parameter.shape)
    net.save_pretrained(folder)
    return net


@pytest.fixture(params=["quick_gelu", "gelu"])
def saved(request, tmp_path):
    """A tiny CLIP with random weights and its folder."""
    net = save(tmp_path / "clip", act=request.param)
    transformers.CLIPImageProcessor(
        size={"shortest_edge": 32},
        crop_size={"height": 32, "width": 32},
        image_mean=[0.5, 0.4, 0.3],
        image_std=[0.2, 0.25, 0.3],
    ).save_pretrained(tmp_path / "clip")
    return net, tmp_path / "clip"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The folder of one tiny CLIP for all tests that copy it; without a word of pictures."""
    folder = tmp_path_factory.mktemp("clip")
    save(folder)
    return folder


def copied(plain, tmp_path, changes=None, **config):
    """A copy of `plain` with another config.json: `config` in it, and `changes` in its towers."""
    folder = tmp_path / "copy"
    shutil.copytree(plain, folder)
    document = json.loads((folder / "config.json").read_text())
    for tower, values in (changes or {}).items():
        document[tower] = document[tower] | values
    (folder / "config.json").write_text(json.dumps(document | config))
    return folder


def assert_equal_features(net, folder):
    model = load(folder)
    pixels = torch.randn(2, 3, *model.preprocessing.size, generator=torch.manual_seed(1))
    tokens = model.tokenizer(["a camel", "a photo of a deer on the lake", ""])
    with torch.no_grad():
        outputs = net(input_ids=tokens, pixel_values=pixels)
    assert (model.encode_image(pixels) - normalize(outputs.image_embeds)).abs().max() <= 1e-5
    assert (model.encode_text(tokens) - normalize(outputs.text_embeds)).abs().max() <= 1e-5


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
    context = MethodContext(model, build_prompts(CLASSES, "a photo of {}", model.tokenizer, 77))
    assert isinstance(context.engine(3), CausalPromptEngine)
    with torch.no_grad():
        outputs = net(input_ids=context.prompts.tokens, pixel_values=pixels)
    assert (model.encode_image(pixels) - normalize(outputs.image_embeds)).abs().max() <= 1e-5
    assert (context.class_features - normalize(outputs.text_embeds)).abs().max() <= 1e-5
    assert model.logit_scale == pytest.approx(float(net.logit_scale.detach().exp()))


def test_files_of_a_folder_that_were_replaced_are_loaded_again(saved):
    _, folder = saved
    first = load(folder)
    assert load(folder) is first
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image_mean": [0.1, 0.2, 0.3]}))
    assert load(folder).preprocessing.describe()["mean"] == [0.1, 0.2, 0.3]


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


@pytest.mark.parametrize(
    ("text", "vision"),
    [
        ({"layer_norm_eps": 0.3}, {"layer_norm_eps": 0.2}),
        ({"eos_token_id": 2}, {}),
        ({"intermediate_size": 30, "hidden_size": 44}, {"intermediate_size": 185}),
        ({"max_position_embeddings": 20}, {"patch_size": 12}),
        ({"num_attention_heads": 1}, {"num_attention_heads": 16}),
    ],
)
def test_what_a_configuration_may_say_gives_the_features_of_transformers(tmp_path, text, vision):
    net = save(tmp_path / "clip", text, vision)
    assert_equal_features(net, tmp_path / "clip")


def test_layer_norms_of_another_eps_in_the_prompt_engine(tmp_path):
    save(tmp_path / "clip", {"layer_norm_eps": 0.3})
    model = load(tmp_path / "clip")
    context = MethodContext(model, build_prompts(CLASSES, "a photo of {}", model.tokenizer, 77))
    engine = context.engine(3)
    assert isinstance(engine, CausalPromptEngine)
    assert (engine.base_features - context.class_features).abs().max() <= 1e-5


def test_a_configuration_says_what_transformers_takes_where_it_is_silent(tmp_path):
    silent = ("layer_norm_eps", "eos_token_id", "hidden_act", "max_position_embeddings")
    save(
        tmp_path / "clip",
        {"num_attention_heads": 8},
        {"num_attention_heads": 12, "hidden_size": 96},
    )
    path = tmp_path / "clip" / "config.json"
    config = json.loads(path.read_text())
    for tower in ("text_config", "vision_config"):
        for name in (*silent, "num_attention_heads", "num_channels", "vocab_size"):
            config[tower].pop(name, None)
    path.write_text(json.dumps(config))
    assert_equal_features(transformers.CLIPModel.from_pretrained(path.parent), path.parent)


def test_what_old_releases_saved_by_another_name_counts(plain, tmp_path):
    config = json.loads((plain / "config.json").read_text())
    old = config["text_config"] | {"num_attention_heads": 2, "layer_norm_eps": 0.5}
    old = {name: old[name] for name in old if name not in ("eos_token_id", "model_type")}
    folder = copied(plain, tmp_path, text_config_dict=old, vision_config_dict=None)
    assert_equal_features(transformers.CLIPModel.from_pretrained(folder), folder)


@pytest.mark.parametrize(
    ("tower", "name", "value"),
    [
        ("text_config", "eos_token_id", 0),
        ("text_config", "eos_token_id", 49406),
        ("text_config", "eos_token_id", [49407]),
        ("text_config", "eos_token_id", None),
        ("text_config", "layer_norm_eps", None),
        ("vision_config", "layer_norm_eps", 0),
        ("vision_config", "layer_norm_eps", "1e-5"),
        ("vision_config", "layer_norm_eps", float("nan")),
        ("text_config", "num_attention_heads", 5),
        ("vision_config", "num_attention_heads", 0),
        ("vision_config", "num_attention_heads", 7),
        ("vision_config", "image_size", [32, 32]),
        ("vision_config", "patch_size", 33),
        ("vision_config", "patch_size", 0),
        ("vision_config", "num_channels", 1),
        ("vision_config", "hidden_size", "64"),
        ("vision_config", "num_hidden_layers", True),
        ("text_config", "intermediate_size", 80.0),
        ("text_config", "intermediate_size", 10**400),
        ("text_config", "vocab_size", {}),
        ("text_config", "vocab_size", 49500),
    ],
)
def test_what_a_configuration_must_not_say(plain, tmp_path, tower, name, value):
    folder = copied(plain, tmp_path, {tower: {name: value}})
    with pytest.raises(ConfigError) as caught:
        load(folder)
    assert caught.value.field == "model.name"
    assert caught.value.value == f"{folder}: {tower}.{name} {json.dumps(value)}"
    assert "must" in caught.value.remedy


@pytest.mark.parametrize("value", [[], "clip", 3])
def test_towers_that_are_no_objects_are_refused(plain, tmp_path, value):
    with pytest.raises(ConfigError, match="vision_config"):
        load(copied(plain, tmp_path, vision_config=value))


@pytest.mark.parametrize("act", ["gelu_new", "no_such", None, ["gelu"], {}])
def test_activations_that_are_not_those_of_clip_are_refused(plain, tmp_path, act):
    towers = {key: {"hidden_act": act} for key in ("text_config", "vision_config")}
    with pytest.raises(ConfigError, match="activations"):
        load(copied(plain, tmp_path, towers))


@pytest.mark.parametrize("projection", [0, None, "512"])
def test_projections_of_no_size_are_refused(plain, tmp_path, projection):
    with pytest.raises(ConfigError, match="projection_dim"):
        load(copied(plain, tmp_path, projection_dim=projection))


SQUARE = {"height": 32, "width": 32}
SHORT = {"size": {"shortest_edge": 32}, "crop_size": SQUARE}


@pytest.mark.parametrize(
    "given",
    [
        SHORT,
        {"size": 32, "crop_size": 32, "feature_extractor_type": "CLIPFeatureExtractor"},
        {**SHORT, "resample": 2},
        {**SHORT, "do_normalize": False},
        {**SHORT, "do_rescale": False},
        {**SHORT, "do_rescale": False, "image_mean": [120.0, 110.0, 100.0]},
        {**SHORT, "do_rescale": False, "do_normalize": False},
        {**SHORT, "rescale_factor": 1 / 127.5, "image_std": [0.5, 0.4, 0.3]},
        {**SHORT, "rescale_factor": 0.1, "do_normalize": False},
        {**SHORT, "do_convert_rgb": None, "do_pad": False},
        {"size": SQUARE, "crop_size": SQUARE},
        {"size": SQUARE, "do_center_crop": False, "crop_size": SQUARE},
        {"size": SQUARE, "do_center_crop": False, "resample": 2},
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_pictures_are_prepared_as_transformers_does_it(plain, tmp_path, given, nested):
    folder = copied(plain, tmp_path)
    if nested:
        document = {"image_processor": given, "processor_class": "CLIPProcessor"}
        (folder / "processor_config.json").write_text(json.dumps(document))
        (folder / "preprocessor_config.json").write_text('{"do_resize": false}')
    else:
        (folder / "processor_config.json").write_text('{"processor_class": "CLIPProcessor"}')
        (folder / "preprocessor_config.json").write_text(json.dumps(given))
    theirs = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    noise = np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8)
    for picture in (Image.fromarray(noise), Image.fromarray(noise).rotate(90, expand=True)):
        expected = theirs(picture, return_tensors="pt")["pixel_values"][0].float()
        found = load(folder).preprocess(picture)
        assert found.shape == expected.shape
        assert ((found - expected).abs() <= 1e-5 * expected.abs().max()).all()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "crop_size"),  # transformers takes 224, and the model has 32
        ({**SHORT, "do_resize": False}, "do_resize"),
        ({**SHORT, "do_resize": None}, "do_resize"),
        ({**SHORT, "do_center_crop": False}, "size"),
        ({**SHORT, "crop_size": 24}, "crop_size"),
        ({**SHORT, "crop_size": {"height": 32, "width": 24}}, "crop_size"),
        ({**SHORT, "size": 36}, "size"),
        ({**SHORT, "size": {"height": 36, "width": 36}}, "size"),
        ({**SHORT, "size": {"shortest_edge": 32, "longest_edge": 64}}, "size"),
        ({**SHORT, "size": "32"}, "size"),
        ({**SHORT, "do_pad": True}, "do_pad"),
        ({**SHORT, "do_normalize": "no"}, "do_normalize"),
        ({**SHORT, "resample": 1}, "resample"),
        ({**SHORT, "resample": None}, "resample"),
        ({**SHORT, "resample": [3]}, "resample"),
        ({**SHORT, "rescale_factor": 0}, "rescale_factor"),
        ({**SHORT, "rescale_factor": "1/255"}, "rescale_factor"),
        ({**SHORT, "image_mean": 0.5}, "image_mean"),
        ({**SHORT, "image_mean": [0.5, 0.5, 10**400]}, "image_mean"),
        ({**SHORT, "image_mean": None}, "image_mean"),
        ({**SHORT, "image_std": [1, 1]}, "image_std"),
        ({**SHORT, "image_std": [1, 1, 0]}, "image_std"),
        ({**SHORT, "image_std": [1, 1, "1"]}, "image_std"),
        ({**SHORT, "image_processor_type": "ViTImageProcessor"}, "image_processor_type"),
        ({**SHORT, "image_processor_type": ["x"]}, "image_processor_type"),
    ],
)
def test_pictures_that_are_prepared_in_other_ways_are_refused(plain, tmp_path, given, name):
    folder = copied(plain, tmp_path)
    (folder / "preprocessor_config.json").write_text(json.dumps(given))
    with pytest.raises(ConfigError) as caught:
        load(folder)
    assert caught.value.field == "model.name"
    assert caught.value.value.startswith(f"{folder}: {name} ")


def test_without_a_word_of_pictures_they_are_prepared_as_those_of_clip(plain):
    described = load(plain).preprocessing.describe()
    assert described["size"] in (32, (32, 32))
    assert described["mean"] == pytest.approx([0.48145466, 0.4578275, 0.40821073])


def test_weights_in_parts_are_found_by_their_index(plain, tmp_path):
    folder = copied(plain, tmp_path)
    whole = str(folder / "model.safetensors")
    assert weight_files(whole) == [whole]
    net = transformers.CLIPModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    assert weight_files(whole) == [whole]  # which is not there
    net.save_pretrained(folder, max_shard_size="100KB")
    files = weight_files(whole)
    assert files == sorted(map(str, folder.glob("model-*.safetensors")))
    assert len(files) > 2
    state = {name: tensor for file in files for name, tensor in load_file(file).items()}
    assert state.keys() == net.state_dict().keys()


def test_weights_in_parts_are_loaded(plain, tmp_path):
    net = transformers.CLIPModel.from_pretrained(plain).eval()
    net.save_pretrained(tmp_path, max_shard_size="100KB")
    assert not (tmp_path / "model.safetensors").exists()
    assert_equal_features(net, tmp_path)


@pytest.mark.parametrize(
    "index",
    [
        "{",
        "[]",
        "{}",
        '{"weight_map": {}}',
        '{"weight_map": {"a": "../other.safetensors"}}',
        '{"weight_map": {"a": "pytorch_model.bin"}}',
        '{"weight_map": {"a": 1}}',
        '{"weight_map": {"a": ["x"]}}',
        "[" * 200_000,
    ],
    ids=range(9),
)
def test_an_index_of_weights_that_cannot_be_used(tmp_path, index):
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ConfigError, match=r"model\.safetensors\.index\.json"):
        weight_files(str(tmp_path / "model.safetensors"))
