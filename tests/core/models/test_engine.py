"""The prompt engine against the model's own text tower."""

from __future__ import annotations

import pytest
import torch

from seraser_core.errors import ConfigError
from seraser_core.models.causal import CausalPromptEngine
from seraser_core.models.engine import build_engine
from seraser_core.models.plain import PlainPromptEngine
from seraser_core.models.prompts import build_prompts, check_context_tokens

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


def test_overflowing_class_name_is_refused(tiny_model):
    with pytest.raises(ConfigError, match="80 tokens and the model's context 77"):
        prompts_of(tiny_model, ["cat", " ".join(["dog"] * 75)])
    prompts_of(tiny_model, ["cat", " ".join(["dog"] * 72)])
