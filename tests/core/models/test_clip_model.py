"""Loading models: preprocessing, weights files, and clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import load_file, save_file

from seraser_core import storage
from seraser_core.config.options import ModelOptions
from seraser_core.errors import ConfigError
from seraser_core.models import clip_model
from seraser_core.models.clip_model import get_model
from seraser_core.models.preprocessing import Preprocessing


def options(name, pretrained=None):
    return ModelOptions(name=str(name), pretrained=pretrained and str(pretrained), device="cpu")


@pytest.fixture
def weights(tiny_json, tiny_model, tmp_path) -> Path:
    state = {k: v.clone() + 0.01 for k, v in tiny_model.net.state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors")
    torch.save(state, tmp_path / "weights.pt")
    return tmp_path / "weights.safetensors"


def test_random_weights_are_the_same_in_every_process(tiny_json):
    first = get_model(options(tiny_json)).weights_hash
    get_model(options(tiny_json, None).model_copy(update={"precision": "bf16"}))
    assert get_model(options(tiny_json)).random
    assert get_model(options(tiny_json)).weights_hash == first


def test_the_model_is_loaded_once(tiny_json):
    assert get_model(options(tiny_json)) is get_model(options(tiny_json))


def test_files_that_were_replaced_are_loaded_again(tiny_json, weights, tmp_path):
    name = tmp_path / "model.json"
    name.write_text(Path(tiny_json).read_text())
    first = get_model(options(name, weights))
    assert get_model(options(name, weights)) is first
    save_file({k: v + 0.1 for k, v in load_file(weights).items()}, weights)
    second = get_model(options(name, weights))
    assert second.weights_hash != first.weights_hash
    tiny = json.loads(name.read_text())
    tiny["vision_cfg"]["head_width"] = 32
    name.write_text(json.dumps(tiny))
    third = get_model(options(name, weights))
    assert third.weights_hash == second.weights_hash
    assert third.architecture != second.architecture


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(tiny_json, weights, value):
    state = load_file(weights)
    state["visual.proj"][3, 4] = value
    save_file(state, weights)
    with pytest.raises(ConfigError, match=r"model.pretrained(.|\n)*visual\.proj holds NaN"):
        get_model(options(tiny_json, weights))


def test_safetensors_and_torch_files_are_the_same_model(tiny_json, weights):
    first = get_model(options(tiny_json, weights))
    second = get_model(options(tiny_json, weights.with_suffix(".pt")))
    assert first.weights_hash == second.weights_hash
    assert first.weights_hash != get_model(options(tiny_json)).weights_hash


def test_weights_elsewhere_are_fetched_once_for_every_version(
    tiny_json, weights, bucket, tmp_path, monkeypatch
):
    monkeypatch.setenv("SERASER_CACHE", str(tmp_path / "cache"))
    fetched, fetch = [], storage.fetch_file
    monkeypatch.setattr(
        storage, "fetch_file", lambda url, place: [fetched.append(url), fetch(url, place)]
    )

    def load():
        monkeypatch.setattr(clip_model, "_cache", {})
        return get_model(options(tiny_json, url)).weights_hash

    url = f"{bucket}/weights.safetensors"
    content = weights.read_bytes()
    storage.write_bytes(url, content)
    expected = get_model(options(tiny_json, weights)).weights_hash
    assert load() == expected == load()
    assert fetched == [url]
    kept = list((tmp_path / "cache").rglob("*.safetensors"))
    assert [path.read_bytes() for path in kept] == [content]

    kept[0].write_bytes(content[:7000])  # a disk that lies
    with pytest.raises(ConfigError, match="is not a readable weights file"):
        load()
    assert load() == expected
    storage.write_bytes(url, content[:5000])
    for _ in range(2):
        with pytest.raises(ConfigError, match="is not a readable weights file"):
            load()


def test_a_model_file_may_say_how_pictures_are_prepared(tiny_json, tmp_path):
    given = {"mean": [0.5] * 3, "std": [0.25] * 3, "resize_mode": "squash"}
    document = {"model_cfg": json.loads(Path(tiny_json).read_text()), "preprocess_cfg": given}
    path = tmp_path / "open_clip_config.json"
    path.write_text(json.dumps(document))
    described = get_model(options(path)).preprocessing.describe()
    assert {name: described[name] for name in given} == given
    other = tmp_path / "other.json"
    other.write_text(json.dumps(document | {"preprocess_cfg": {"crop": 1}}))
    with pytest.raises(ConfigError, match="preprocess_cfg must hold none but"):
        get_model(options(other))


@pytest.mark.parametrize("mode", ["squash", "longest"])
def test_only_what_a_crop_removes_is_cut_off_before(mode):
    cfg = PreprocessCfg(size=384, resize_mode=mode)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 12000, 3), np.uint8))
    ours = Preprocessing(cfg)
    expected = image_transform_v2(cfg, is_train=False)(image)
    assert torch.equal(ours.normalise(ours.resize(image)), expected)


def test_a_picture_too_large_for_one_piece_of_memory_is_resized_like_any_other():
    side = 2100  # Pillow takes 16 MiB at once
    image = Image.effect_noise((side, side), 64).convert("RGB")
    pixels = Preprocessing(PreprocessCfg(size=side)).resize(image)
    assert torch.equal(pixels, torch.from_numpy(np.array(image)).permute(2, 0, 1))


def test_preprocessing_is_open_clips_own(tiny_json, tiny_model):
    _, _, transform = open_clip.create_model_and_transforms("ViT-B-32-quickgelu")
    model = get_model(options("ViT-B-32-quickgelu"))
    rng = np.random.default_rng(0)
    for size in [(224, 224), (500, 375), (31, 90), (640, 2)]:
        image = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
        assert torch.equal(model.preprocess(image), transform(image))


@pytest.mark.parametrize("size", [32, (32, 32), (24, 40)])
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
def test_a_batch_is_normalised_as_open_clip_does_one_picture(size, resize_mode):
    cfg = PreprocessCfg(size=size, resize_mode=resize_mode, mean=(0.5, 0.4, 0.3), fill_color=7)
    transform = image_transform_v2(cfg, is_train=False)
    rng = np.random.default_rng(0)
    images = [
        Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8))
        for shape in [(50, 40), (33, 90), (40, 24)]
    ]
    preprocessing = Preprocessing(cfg)
    batch = preprocessing.normalise(torch.stack([preprocessing.resize(i) for i in images]))
    assert torch.equal(batch, torch.stack([transform(i) for i in images]))


@pytest.mark.parametrize("size", [(4000, 2), (2, 4000), (65000, 1), (1, 1)])
def test_extreme_pictures_stay_small(tiny_model, size):
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    tensor = tiny_model.preprocess(image)
    assert tensor.shape == (3, 32, 32)
    assert tensor.isfinite().all()


def test_cutting_a_long_picture_keeps_the_centre_crop(tiny_model, monkeypatch):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (8, 3000, 3), dtype=np.uint8))
    whole = tiny_model.preprocess(image)
    monkeypatch.setattr("seraser_core.models.preprocessing._MOST_RESIZED_PIXELS", 1)
    assert (tiny_model.preprocess(image) - whole).abs().max() <= 0.05


def test_features_are_normalised_and_independent_of_the_batch(tiny_model):
    images = torch.randn(7, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    features = tiny_model.encode_image(images)
    assert torch.allclose(features.norm(dim=-1), torch.ones(7))
    alone = torch.cat([tiny_model.encode_image(image[None]) for image in images])
    assert (alone - features).abs().max() <= 1e-5


def test_unknown_model_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean ViT-B-32"):
        get_model(options("ViT-B-32-quickgelo"))


def test_unknown_tag_lists_the_tags():
    with pytest.raises(ConfigError, match=r"'opnai'(.|\n)*openai"):
        get_model(options("ViT-B-32-quickgelu", "opnai"))


def test_weights_that_do_not_fit_list_the_tensors(tiny_json, weights, tmp_path):
    config = json.loads(Path(tiny_json).read_text())
    config["embed_dim"] = 48
    other = tmp_path / "other.json"
    other.write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"text_projection: file \(24, 32\), model \(24, 48\)"):
        get_model(options(other, weights))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "not a readable weights file"), (b"hello", "not a readable weights file")],
)
@pytest.mark.parametrize("ending", [".safetensors", ".pt"])
def test_damaged_weights_are_refused(tiny_json, tmp_path, content, message, ending):
    path = tmp_path / f"weights{ending}"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        get_model(options(tiny_json, path))


class _Evil:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_weights_that_hold_code_are_refused(tiny_json, tmp_path, capsys):
    torch.save({"a": _Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ConfigError, match="holds more than tensors"):
        get_model(options(tiny_json, tmp_path / "evil.pt"))
    assert "must not run" not in capsys.readouterr().out


def test_missing_files_and_devices_are_named(tiny_json, tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        get_model(options(tiny_json, tmp_path / "none.safetensors"))
    with pytest.raises(ConfigError, match="no such file"):
        get_model(options(tmp_path / "none.json"))
    with pytest.raises(ConfigError, match="use auto, cpu"):
        get_model(ModelOptions(name=tiny_json, pretrained=None, device="gpu"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_size": 100}, "vocab_size 100"),
        ({"heads": 5}, "makes no model"),
        ({"colour": 1}, "makes no model"),
    ],
    ids=str,
)
def test_configurations_that_make_no_model(tmp_path, change, message, tiny_json):
    path, tiny = tmp_path / "model.json", json.loads(Path(tiny_json).read_text())
    path.write_text(json.dumps(tiny | {"text_cfg": tiny["text_cfg"] | change}))
    with pytest.raises(ConfigError, match=rf"model.name(.|\n)*{message}"):
        get_model(options(str(path), None))


def test_architecture_tells_models_with_equal_weights_apart(tiny_json, tmp_path):
    path, tiny = tmp_path / Path(tiny_json).name, json.loads(Path(tiny_json).read_text())
    path.write_text(json.dumps(tiny | {"vision_cfg": tiny["vision_cfg"] | {"head_width": 32}}))
    first, second = (get_model(options(name, None)) for name in (tiny_json, str(path)))
    assert first.weights_hash == second.weights_hash
    assert first.architecture != second.architecture
