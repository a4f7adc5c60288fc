"""BLIP-2 that transformers has saved, against transformers' own code."""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path

import literal_blip2
import literal_seraser as literal
import numpy as np
import polars as pl
import pytest
import safetensors.torch
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_blip2 import SIDE, VOCABULARY, write_blip2
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import normalize

from seraser_core.config import load_config
from seraser_core.config.methods.seraser import SeraserOptions
from seraser_core.config.methods.zero_shot import ZeroShotOptions
from seraser_core.config.options import ModelOptions
from seraser_core.errors import ConfigError
from seraser_core.methods import MethodContext, method_class
from seraser_core.methods.zero_shot import ZeroShot
from seraser_core.models.clip_model import get_model
from seraser_core.models.plain import PlainPromptEngine
from seraser_core.models.prompts import build_prompts
from seraser_core.results.shards import RunDirectory
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run

CLASSES = ["a camel", "a deer on the lake", "a red-billed oxpecker"]
TEXTS = [f"a photo of {name}" for name in CLASSES]
VIEWS = ("image", "mask_background", "mask_foreground")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A tiny BLIP-2 and its folder, which is not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "blip2"
    return write_blip2(folder), folder


@pytest.fixture
def copied(saved, tmp_path):
    """A folder of the same model that may be changed."""
    return Path(shutil.copytree(saved[1], tmp_path / "blip2"))


@pytest.fixture
def model(saved):
    return load(saved[1])


def load(folder, **given):
    return get_model(ModelOptions(name=str(folder), **{"device": "cpu", **given}))


def context_of(model):
    prompts = build_prompts(CLASSES, "a photo of {}", model.tokenizer, model.context_length)
    return MethodContext(model, prompts)


def photographs(count, size=None):
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 256, (*(size or rng.integers(20, 90, 2)), 3), np.uint8))
        for _ in range(count)
    ]


def views_of(model, count=3):
    generator = torch.Generator().manual_seed(3)
    shape = (count, 1, 3, *model.preprocessing.size)
    return {name: torch.randn(shape, generator=generator) for name in VIEWS}


def features_of(model, views):
    return {name: model.encode_image(x[:, 0])[:, None] for name, x in views.items()}


def test_zero_shot_is_that_of_transformers_with_its_own_processor(saved, model):
    net, folder = saved
    images = photographs(4, (SIDE, SIDE))
    processor = transformers.Blip2Processor(
        transformers.BlipImageProcessor.from_pretrained(folder),
        transformers.BertTokenizer.from_pretrained(folder),
    )
    logits = torch.zeros(len(images), len(TEXTS))
    for i, image in enumerate(images):
        for j, text in enumerate(TEXTS):
            with torch.no_grad():
                outputs = net(**processor(images=image, text=text, return_tensors="pt"))
                hidden = outputs.text_model_output.last_hidden_state[0]
                words = normalize(net.text_projection(hidden), dim=-1).mean(0)
            queries = outputs.image_embeds[0].mean(0)
            cosine = (queries @ words) / (queries.norm() * words.norm())
            logits[i, j] = cosine / 0.07
    context = context_of(model)
    features = model.encode_image(torch.stack([model.preprocess(image) for image in images]))
    method = ZeroShot(ZeroShotOptions(), context)
    assert (method.predict({"image": features[:, None]}).logits - logits).abs().max() <= 1e-4
    assert logits.std() > 0.1
    assert model.logit_scale == pytest.approx(1 / 0.07)


@pytest.mark.parametrize("preset", ["reference", "paper", "preserve"])
def test_seraser_is_the_literal_twin(saved, model, preset, monkeypatch):
    monkeypatch.setattr(literal, "encode_prompts", literal_blip2.encode_prompts)
    twin = literal_blip2.LiteralBlip2(saved[0].requires_grad_(False))
    options = SeraserOptions(preset=preset, steps=5, lr=2e-2)
    context, views = context_of(model), views_of(model)
    assert isinstance(context.engine(3), PlainPromptEngine)
    scores = method_class(options)(options, context).predict(features_of(model, views))
    tokens = context.prompts.tokens
    assert context.prompts.shared == 4, "[CLS] and 'a photo of'"
    black = model.preprocess(Image.new("RGB", (SIDE, SIDE)))
    moved = 0.0
    for i, picture in enumerate(views["image"][:, 0]):
        background, foreground = (views[name][i, 0] for name in VIEWS[1:])
        logits, losses = literal.adapt(
            twin,
            tokens,
            picture,
            [background, black],
            [foreground],
            kl=options.kl,
            foreground_term=options.foreground,
            steps=options.steps,
            lr=options.lr,
        )
        assert (scores.logits[i] - logits).abs().max() <= 1e-3
        assert scores.loss_first[i] == pytest.approx(losses[0], abs=1e-4)
        untouched = literal_blip2.encode_prompts(twin, tokens, context.engine(3).initial_prompt)
        before, _ = literal.probabilities(twin, picture, untouched)
        moved = max(moved, float((logits - before).abs().max()))
    assert moved > 2e-2, "a comparison in which nothing moved shows nothing"


def test_the_tuned_rows_are_what_transformers_embeds(saved, model):
    tokens = model.tokenizer(TEXTS)
    assert tokens.shape == (3, 32)
    assert tokens.dtype == torch.int64
    embedded = saved[0].embeddings(tokens[:1])[0].detach()
    assert torch.equal(context_of(model).engine(3).initial_prompt, embedded[1:4])


def test_features_do_not_depend_on_the_batch_or_on_padding(model):
    images = views_of(model, 7)["image"][:, 0]
    alone = torch.cat([model.encode_image(image[None]) for image in images])
    assert (model.encode_image(images) - alone).abs().max() <= 1e-5
    tokens = model.tokenizer(TEXTS)
    features = model.encode_text(tokens)
    assert torch.allclose(features.norm(dim=-1), torch.ones(3))
    for context_length in (14, 40):
        padded = model.encode_text(model.tokenizer(TEXTS, context_length))
        assert (padded - features).abs().max() <= 1e-5
    for row, feature in zip(tokens, features, strict=True):
        assert (model.encode_text(row[None, row != 0])[0] - feature).abs().max() <= 1e-5


def test_padding_is_not_computed_when_prompts_are_tuned(model):
    context = context_of(model)
    longest = int((context.prompts.tokens != 0).sum(1).max())
    engine = context.engine(3)
    assert engine.tokens == len(CLASSES) * longest < context.prompts.tokens.numel()
    tuned = engine.text_features(engine.initial_prompt[None])[0]
    assert (tuned - context.class_features).abs().max() <= 1e-5


def test_a_step_reads_no_value_back(model):
    """Else it could not be recorded as a CUDA graph."""
    engine = context_of(model).engine(3)
    with FakeTensorMode(allow_non_fake_inputs=True):
        features = engine.text_features(engine.initial_prompt.expand(2, -1, -1))
    assert features.shape == (2, 3, 24)


@pytest.mark.parametrize(
    "given",
    [
        {"resample": 2},
        {"resample": 3},
        {"do_normalize": False},
        {"do_rescale": False},
        {"rescale_factor": 1 / 127.5},
    ],
    ids=str,
)
def test_pictures_are_prepared_as_the_folder_says(saved, copied, given):
    """Exactly as with Pillow, which LAVIS uses; torchvision rounds between its two passes."""
    model = load(rewritten(copied / "preprocessor_config.json", **given))
    one_level = 1 / 255 / 0.2 if "resample" in given else math.inf
    exact = transformers.BlipImageProcessorPil.from_pretrained(copied)
    tensors = transformers.BlipImageProcessor.from_pretrained(copied)
    for image in photographs(5):
        found = model.preprocess(image)
        for processor, tolerance in ((exact, 1e-5), (tensors, 1.01 * one_level)):
            expected = processor(image, return_tensors="pt").pixel_values[0]
            assert (found - expected).abs().max() <= tolerance * max(1, expected.abs().max())
    assert model.preprocessing.describe()["resize_mode"] == "squash"


def test_the_processor_in_one_file_is_read_as_well(copied):
    """As transformers 5 saves a Blip2Processor."""
    expected = load(copied).preprocessing.describe()
    given = json.loads((copied / "preprocessor_config.json").read_text())
    (copied / "preprocessor_config.json").unlink()
    (copied / "processor_config.json").write_text(json.dumps({"image_processor": given}))
    assert load(copied, precision="bf16").preprocessing.describe() == expected


def test_weights_in_parts_are_the_same_model(model, tmp_path):
    write_blip2(tmp_path / "parts", max_shard_size="50KB")
    assert len(list((tmp_path / "parts").glob("model-*.safetensors"))) > 1
    parts = load(tmp_path / "parts")
    assert (parts.weights_hash, parts.architecture) == (model.weights_hash, model.architecture)
    assert not parts.random


def test_the_fingerprint_knows_weights_configuration_and_words(model, copied):
    def changed(file, old, new):
        before = (copied / file).read_text()
        assert old in before
        (copied / file).write_text(before.replace(old, new))
        found = load(copied, precision="bf16")
        (copied / file).write_text(before)
        load(copied)  # or the next one would come from the cache
        return found

    same = changed("config.json", '"transformers_version": "', '"transformers_version": "1')
    assert same.architecture == model.architecture
    other = changed("config.json", '"layer_norm_eps": 1e-12', '"layer_norm_eps": 1e-05')
    assert other.architecture != model.architecture
    other = changed("tokenizer.json", '"camel": 9', '"camels": 9')
    assert other.architecture != model.architecture
    assert other.weights_hash == model.weights_hash
    state = load_file(copied / "model.safetensors")
    save_file(
        {k: v + 0.01 for k, v in state.items()}, copied / "model.safetensors", {"format": "pt"}
    )
    assert load(copied, precision="bf16").weights_hash != model.weights_hash


def test_bf16_is_close_to_fp32(model, saved):
    other = load(saved[1], precision="bf16")
    assert {p.dtype for p in other.net.parameters()} == {torch.bfloat16}
    assert other.logit_scale == model.logit_scale
    images = views_of(model)["image"][:, 0]
    tokens = model.tokenizer(TEXTS)
    assert (other.encode_image(images) - model.encode_image(images)).abs().max() <= 5e-2
    assert (other.encode_text(tokens) - model.encode_text(tokens)).abs().max() <= 5e-2
    engine = context_of(other).engine(3)
    prompt = engine.initial_prompt[None].clone().requires_grad_()
    engine.text_features(prompt)[0, 0, 0].backward()
    assert prompt.grad.isfinite().all()
    assert prompt.grad.abs().sum() > 0


def test_random_weights_are_the_same_in_every_process(saved):
    first = load(saved[1], pretrained=None)
    assert first.random
    load(saved[1])
    assert load(saved[1], pretrained=None).weights_hash == first.weights_hash


def test_loading_says_nothing(copied, capfd):
    load(copied)
    assert capfd.readouterr() == ("", "")


def refused(folder, **given):
    with pytest.raises(ConfigError) as caught:
        load(folder, **given)
    return str(caught.value)


def rewritten(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path.parent


def test_another_kind_of_blip2_is_refused(copied):
    config = copied / "config.json"
    former = json.loads(config.read_text())["qformer_config"]
    assert "['Blip2ForConditionalGeneration']" in refused(
        rewritten(config, architectures=["Blip2ForConditionalGeneration"])
    )
    rewritten(config, architectures=["Blip2ForImageTextRetrieval"])
    assert "reads no text" in refused(
        rewritten(config, qformer_config=former | {"use_qformer_text_input": False})
    )
    assert "16 positions" in refused(
        rewritten(config, qformer_config=former | {"max_position_embeddings": 16})
    )
    assert "lacks qformer_config" in refused(rewritten(config, qformer_config=None))
    assert "cannot be loaded" in refused(
        rewritten(config, qformer_config=former | {"hidden_act": "loud"})
    )
    assert "does not fit" not in refused(copied)
    found = refused(rewritten(config, qformer_config=former | {"hidden_size": 32}))
    assert "its weights do not fit its config.json" in found
    assert "model (" in found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": {"height": 48, "width": 48}}, 'must be {"height": 32, "width": 32}, the model'),
        ({"size": {"shortest_edge": SIDE}}, "shortest_edge"),
        ({"size": None}, "size null"),
        ({"do_center_crop": True}, "do_center_crop true"),
        ({"do_resize": False}, "do_resize"),
        ({"rescale_factor": 0}, "rescale_factor 0"),
        ({"resample": 1}, "resample 1"),
        ({"image_mean": 0.5}, "image_mean 0.5"),
        ({"image_std": [0.2, 0.2, float("nan")]}, "image_std NaN"),
        ({"image_processor_type": "CLIPImageProcessor"}, "must be BlipImageProcessor"),
    ],
)
def test_other_preprocessing_is_refused(copied, changes, message):
    assert message in refused(rewritten(copied / "preprocessor_config.json", **changes))


def test_a_folder_without_one_of_its_files_is_refused(copied):
    for name, message in [
        ("model.safetensors", "cannot be loaded"),
        ("tokenizer.json", "holds no tokenizer"),
        ("preprocessor_config.json", r"holds no preprocessor_config.json"),
        ("config.json", "holds no config.json"),
    ]:
        (copied / name).unlink()
        assert message in refused(copied)


def test_other_tokenizers_are_refused(copied):
    path = copied / "tokenizer.json"
    document = json.loads(path.read_text())
    known = len(VOCABULARY)
    words = document["model"]["vocab"] | {f"w{i}": known + i for i in range(5)}
    rewritten(path, model=document["model"] | {"vocab": words})
    assert f"knows {known + 5} word pieces and its weights {known}" in refused(copied)
    words = {word: number for word, number in words.items() if word != "[UNK]"}
    rewritten(path, model=document["model"] | {"vocab": words})
    assert "has no [PAD], [UNK]" in refused(copied)
    path.write_text("{")
    assert "its tokenizer cannot be read" in refused(copied)


def test_weights_that_do_not_fit_are_refused(copied):
    path = copied / "model.safetensors"
    content = path.read_bytes()
    state = safetensors.torch.load(content)
    path.write_bytes(content[: len(content) // 2])
    assert "its model cannot be loaded" in refused(copied)
    bias = state.pop("text_projection.bias")
    save_file(state, path, {"format": "pt"})
    assert "missing text_projection.bias" in refused(copied)
    save_file(state | {"text_projection.bias": bias, "more": bias.clone()}, path, {"format": "pt"})
    assert "unexpected more" in refused(copied)
    save_file(state | {"text_projection.bias": bias[:3].clone()}, path, {"format": "pt"})
    assert "text_projection.bias: file (3,), model (24,)" in refused(copied)
    torch.save(state, copied / "pytorch_model.bin")
    path.unlink()
    assert "its model cannot be loaded" in refused(copied)


def test_weights_from_elsewhere_are_refused(copied):
    error = refused(copied, pretrained="/other/model.safetensors")
    assert error.startswith("model.pretrained")
    assert "leave this option out" in error


@pytest.fixture
def blip_tree(tree, saved):
    """A configuration tree with a BLIP-2 and every method that it can do."""
    return tree | {
        "model": {"name": str(saved[1]), "device": "cpu"},
        "methods": [
            "zero_shot",
            {"id": "mask", "name": "seraser", "lr": 0.02, "steps": 3},
            {"id": "augment", "name": "seraser", "auxiliary": "augment", "steps": 2},
            {"name": "seraser_task", "auxiliary": "black", "sample": 4, "steps": 2},
            "foreground",
            {"name": "tpt", "views": 8, "selection": 0.5},
            {"name": "ensemble", "templates": ["a photo of {}", "a photo of the {}"]},
            {"name": "vte", "views": 4, "templates": ["a photo of {}"]},
            "tda",
            {"name": "roboshot", "reject": [["a photo of land", "a photo of a lake"]]},
        ],
    }


def test_a_whole_run(blip_tree, model):
    url = plan_run(load_config(blip_tree))
    run_local(url)
    document = RunDirectory(url).run
    assert document.fingerprint_inputs.weights == model.weights_hash
    assert not document.random_weights
    rows = pl.read_parquet(f"{url}/predictions/*.parquet")
    assert len(rows) == 14 * 10
    assert rows["status"].unique().to_list() == ["ok"]
    assert rows["logits"].explode().is_finite().all()
    first = rows.filter(method="zero_shot").sort("item_id").row(0, named=True)
    folder = Path(blip_tree["dataset"]["path"]).parent
    image = model.preprocess(Image.open(folder / first["image"]).convert("RGB"))
    expected = model.encode_image(image[None]) @ model.encode_text(model.tokenizer(TEXTS)).T / 0.07
    assert first["logits"] == pytest.approx(expected[0].tolist(), abs=1e-3)
    tuned = rows.filter(method="mask")
    assert not math.isclose(tuned["loss_first"].sum(), tuned["loss_last"].sum(), abs_tol=1e-4)
    assert plan_run(load_config(blip_tree)) == url, "the same model is the same run"


def test_relevance_is_refused_when_the_run_is_planned(blip_tree):
    blip_tree["methods"] = [{"name": "seraser", "auxiliary": "relevance"}]
    with pytest.raises(ConfigError, match=r"Blip2VisionModel.*mask or box.*augment") as caught:
        plan_run(load_config(blip_tree))
    assert caught.value.field == "methods.seraser.auxiliary"


def test_without_transformers_the_plan_tells_the_extra(blip_tree, copied, monkeypatch):
    blip_tree["model"]["name"] = str(copied)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'seraser\[blip\]'"):
        plan_run(load_config(blip_tree))
