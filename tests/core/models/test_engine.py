"""The prompt engine against the model's own text tower."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from seraser_core.config.options import ModelOptions
from seraser_core.errors import ConfigError
from seraser_core.models.causal import CausalPromptEngine
from seraser_core.models.clip_model import get_model
from seraser_core.models.engine import build_engine, images_at_once
from seraser_core.models.plain import PlainPromptEngine
from seraser_core.models.prompts import (
    build_prompts,
    check_context_tokens,
    indistinguishable_classes,
)

CLASSES = ["cat", "a red-billed oxpecker", "an anthropomorphic deer"]


def prompts_of(model, classes=CLASSES, template="a photo of {}"):
    return build_prompts(classes, template, model.tokenizer, model.net.context_length)


def test_untouched_prompts_equal_encode_text(tiny_model):
    engine = build_engine(tiny_model, prompts_of(tiny_model), 3)
    assert isinstance(engine, CausalPromptEngine)
    own = tiny_model.net.encode_text(
        tiny_model.tokenizer([f"a photo of {c}" for c in CLASSES]), normalize=True
    )
    assert (engine.base_features - own).abs().max() <= 1e-5


@pytest.mark.parametrize("classes", [["cat"], CLASSES, [f"animal {i}" for i in range(11)]])
@pytest.mark.parametrize("context_tokens", [1, 2, 3])
def test_features_and_gradients_equal_the_plain_engine(tiny_model, classes, context_tokens):
    prompts = prompts_of(tiny_model, classes)
    fast = CausalPromptEngine(tiny_model, prompts, context_tokens)
    plain = PlainPromptEngine(tiny_model, prompts, context_tokens)
    torch.manual_seed(1)
    noise = 0.05 * torch.randn(4, *plain.initial_prompt.shape)
    prompt = (plain.initial_prompt + noise).requires_grad_()
    ours, theirs = fast.text_features(prompt), plain.text_features(prompt)
    assert (ours - theirs).abs().max() <= 1e-5
    weight = torch.randn_like(ours)
    (our_gradient,) = torch.autograd.grad((ours * weight).sum(), prompt)
    (their_gradient,) = torch.autograd.grad((theirs * weight).sum(), prompt)
    assert (our_gradient - their_gradient).abs().max() <= 1e-4 * their_gradient.abs().max()


def test_threads_that_share_a_model_do_not_mix_their_prompts(tiny_model):
    plain = PlainPromptEngine(tiny_model, prompts_of(tiny_model), 3)
    prompts = [plain.initial_prompt + 0.1 * i * torch.ones(1, 3, 1) for i in range(4)]

    def features(prompt):
        with torch.no_grad():
            return [plain.text_features(prompt) for _ in range(8)]

    alone = [features(prompt)[0] for prompt in prompts]
    with ThreadPoolExecutor(4) as pool:
        for expected, found in zip(alone, pool.map(features, prompts), strict=True):
            assert all((each - expected).abs().max() <= 1e-5 for each in found)


def test_texts_are_encoded_as_ever_while_a_prompt_is_tuned(tiny_model):
    """Another run in the same process may need its class features at any moment."""
    plain = PlainPromptEngine(tiny_model, prompts_of(tiny_model), 3)
    tokens = prompts_of(tiny_model).tokens
    expected, meanwhile = tiny_model.encode_text(tokens), []

    def encode(*_):
        if not meanwhile:
            meanwhile.append(None)  # what is encoded here comes by here, too
            with ThreadPoolExecutor(1) as pool:
                meanwhile.append(pool.submit(tiny_model.encode_text, tokens).result())

    hook = tiny_model.net.ln_final.register_forward_pre_hook(encode)
    try:
        with torch.no_grad():
            plain.text_features(plain.initial_prompt[None] + 1)
    finally:
        hook.remove()
    assert torch.equal(meanwhile[1], expected)


def test_the_plain_engine_computes_twice_where_memory_is_little(tiny_model, monkeypatch):
    monkeypatch.setattr("seraser_core.models.plain._CLASSES_AT_ONCE", 2)
    plain = PlainPromptEngine(tiny_model, prompts_of(tiny_model), 3)
    prompt = (
        plain.initial_prompt + 0.05 * torch.randn(4, *plain.initial_prompt.shape)
    ).requires_grad_()
    found = []
    for plain.memory in (2**40, 0):
        features = plain.text_features(prompt)
        found.append([features, *torch.autograd.grad((features**3).sum(), prompt)])
    for once, twice in zip(*found, strict=True):
        torch.testing.assert_close(twice, once, rtol=1e-4, atol=1e-6)
    assert plain.bytes_per_image(True) == plain.bytes_per_image(False) * 2 // 3


@pytest.mark.parametrize("row_keys", [1, 12, 64])
@pytest.mark.parametrize("pass_positions", [1, 60, 10**6])
@pytest.mark.parametrize("recompute", [False, True])
def test_rows_and_passes_change_nothing(tiny_model, row_keys, pass_positions, recompute):
    prompts = prompts_of(tiny_model, [*CLASSES, *(f"animal {i}" for i in range(5))])
    plain = PlainPromptEngine(tiny_model, prompts, 3)
    cut = CausalPromptEngine(tiny_model, prompts, 3, row_keys, pass_positions)
    cut.memory = 0 if recompute else 2**40
    prompt = (plain.initial_prompt + 0.05).repeat(2, 1, 1).requires_grad_()
    expected, found = plain.text_features(prompt), cut.text_features(prompt)
    assert (expected - found).abs().max() <= 1e-5
    weight = torch.randn_like(expected)
    (wanted,) = torch.autograd.grad((expected * weight).sum(), prompt)
    (gradient,) = torch.autograd.grad((found * weight).sum(), prompt)
    assert (gradient - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("recompute", [False, True])
def test_the_model_of_memory_covers_what_a_graph_keeps(tiny_model, recompute):
    """Bytes of the tensors that autograd keeps for one image, beside the frozen ones."""
    prompts = prompts_of(tiny_model, [f"animal number {i}" for i in range(40)])
    engine = CausalPromptEngine(tiny_model, prompts, 3)
    passes = engine._passes(1)[:1] if recompute else engine._passes(10**6)
    assert len(engine._passes(1)) > 2
    kept = kept_bytes(
        tiny_model, engine, lambda prompt: [engine._features(prompt, each) for each in passes]
    )
    assert 0.7 <= kept / (2 * engine.bytes_per_image(recompute)) <= 1.1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("engine_type", [CausalPromptEngine, PlainPromptEngine])
def test_the_model_of_memory_knows_quick_gelu(tiny_json, tmp_path, precision, engine_type):
    path = tmp_path / "quick.json"
    path.write_text(json.dumps(json.loads(Path(tiny_json).read_text()) | {"quick_gelu": True}))
    options = ModelOptions(name=str(path), pretrained=None, precision=precision, device="cpu")
    model = get_model(options)
    engine = engine_type(model, prompts_of(model, [f"animal number {i}" for i in range(10)]), 3)
    two, four = (kept_bytes(model, engine, engine.text_features, count) for count in (2, 4))
    least = 0.7 if engine_type is CausalPromptEngine else 0.3
    assert least <= (four - two) / (2 * engine.bytes_per_image(False)) <= 1.1


def kept_bytes(model, engine, compute, images=2):
    """Bytes of the tensors that autograd keeps for some images, beside the model's."""
    frozen = {p.untyped_storage().data_ptr() for p in model.net.parameters()}
    prompt = engine.initial_prompt.repeat(images, 1, 1).requires_grad_()
    kept: dict[int, int] = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in frozen:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = compute(prompt)
    assert features is not None
    return sum(kept.values())


def test_of_a_batch_that_takes_too_much_memory_one_part_is_kept_at_a_time(tiny_model):
    prompts = prompts_of(tiny_model, [f"animal number {i}" for i in range(40)])
    engine = CausalPromptEngine(tiny_model, prompts, 3)
    every, part = (engine.bytes_per_image(recompute) for recompute in (False, True))
    found = []
    for engine.memory in (2 * every, 2 * every - 1, 2 * part):
        kept = kept_bytes(tiny_model, engine, engine.text_features)
        (passes,) = engine._passes_by_rows.values()
        engine._passes_by_rows.clear()
        found.append((len(passes), kept < every))
    assert found[0] == (1, False)
    assert found[1] == (2, True), "as large as they fit"
    assert found[2] == (len(engine._rows), True)


def test_how_many_images_are_tuned_together(tiny_model):
    prompts = prompts_of(tiny_model, [f"animal number {i}" for i in range(40)])
    engine = build_engine(tiny_model, prompts, 3)
    every, part = (engine.bytes_per_image(recompute) for recompute in (False, True))
    most = 4096 // engine.tokens
    assert most > 8

    def images(memory):
        engine.memory = memory
        return images_at_once(engine, tiny_model.device)

    assert images(2**40) == most
    assert images(9 * every) == 9, "nothing is computed twice"
    assert images(8 * every - 1) == min(most, (8 * every - 1) // part), "more fit that way"
    assert images(1) == 1


def test_where_few_images_are_tuned_together_their_memory_counts(tiny_model, monkeypatch):
    """With 1,000 classes, one image fills a batch: eight need not fit."""
    prompts = prompts_of(tiny_model)
    engine = build_engine(tiny_model, prompts, 3, memory=1)
    monkeypatch.setattr("seraser_core.models.engine._MOST_TOKENS", {"cpu": 2 * engine.tokens})
    engine.memory = 2 * engine.bytes_per_image(False)
    assert images_at_once(engine, tiny_model.device) == 2
    kept = kept_bytes(tiny_model, engine, engine.text_features)
    assert kept >= 1.4 * engine.bytes_per_image(False), "and is kept"


def test_towers_stay_frozen(tiny_model):
    engine = build_engine(tiny_model, prompts_of(tiny_model), 3)
    prompt = engine.initial_prompt[None].clone().requires_grad_()
    engine.text_features(prompt).sum().backward()
    assert prompt.grad is not None
    assert all(p.grad is None for p in tiny_model.net.parameters())


def test_prefix_shorter_than_context_tokens_is_refused(tiny_model):
    with pytest.raises(ConfigError, match="has 1 tokens that all classes share"):
        check_context_tokens(prompts_of(tiny_model, template="photo {}"), 3, "methods.seraser")


def test_shared_positions_stop_before_the_class(tiny_model):
    prompts = prompts_of(tiny_model, ["a cat", "a dog"])
    assert prompts.shared == 4, "start-of-text and 'a photo of', not the article of the classes"


def test_classes_that_tokenise_alike_are_refused(tiny_model):
    with pytest.raises(ConfigError, match=r"'A Camel' and 'a  camel'"):
        prompts_of(tiny_model, ["A Camel", "a deer", "a  camel"])


def test_classes_that_the_model_cannot_tell_apart_are_named():
    one, other = torch.nn.functional.normalize(torch.randn(2, 32), dim=-1)
    features = torch.stack([one, other, one, -one])
    assert indistinguishable_classes(features, ["a", "b", "c", "d"]) == [("a", "c")]


def test_overflowing_class_name_is_refused(tiny_model):
    with pytest.raises(ConfigError, match="80 tokens and the model's context 77"):
        prompts_of(tiny_model, ["cat", " ".join(["dog"] * 75)])
    prompts_of(tiny_model, ["cat", " ".join(["dog"] * 72)])
