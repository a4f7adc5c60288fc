"""Layers compiled by torch.compile, and as they are where that fails."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from torch._dynamo.utils import counters

from seraser_core.models import compiled, engine, linear
from seraser_core.models.causal import CausalPromptEngine
from seraser_core.models.engine import build_engine
from seraser_core.models.prompts import build_prompts

CLASSES = [f"animal number {i}" for i in range(20)]


@pytest.fixture
def given(tiny_model, monkeypatch):
    monkeypatch.setattr(linear, "_works", lambda: False)  # as on a GPU: no products by oneDNN
    model = replace(tiny_model)
    prompts = build_prompts(CLASSES, "a photo of {}", model.tokenizer, model.context_length)
    return model, prompts, 3


def features_and_gradient(found):
    prompt = (found.initial_prompt + 0.05).repeat(4, 1, 1).requires_grad_()
    features = found.text_features(prompt)
    (gradient,) = torch.autograd.grad((features**3).sum(), prompt)
    with torch.no_grad():
        alone = found.text_features(prompt[:1])
    return features.detach(), gradient, alone


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
def test_compiled_layers_compute_the_same(given, monkeypatch, caplog):
    torch.compiler.reset()
    counters.clear()
    fused = CausalPromptEngine(*given, fused=True)
    expected = features_and_gradient(CausalPromptEngine(*given))
    for ours, theirs in zip(features_and_gradient(fused), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert not [one for one in caplog.records if one.name.startswith("seraser")]
    assert 1 <= counters["stats"]["unique_graphs"] <= 6, "not one per layer or batch"


def test_where_compiling_fails_layers_are_as_they_are_and_a_warning_says_so(
    given, monkeypatch, caplog
):
    def fail(function, **_):
        def failing(*_):
            raise RuntimeError("Failed to find C compiler")

        return failing

    monkeypatch.setattr(torch, "compile", fail)
    fused = CausalPromptEngine(*given, fused=True)
    assert fused._finish == fused._blocks.finish
    expected = features_and_gradient(CausalPromptEngine(*given))
    for ours, theirs in zip(features_and_gradient(fused), expected, strict=True):
        assert torch.equal(ours, theirs)
    (message,) = [record.getMessage() for record in caplog.records]
    assert "Failed to find C compiler" in message


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
    ],
)
def test_a_full_or_lost_device_is_no_reason_to_go_on_without(given, monkeypatch, error):
    def fail(function, **_):
        def failing(*_):
            raise error

        return failing

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.raises(type(error)):
        CausalPromptEngine(*given, fused=True)


def test_on_a_cpu_the_option_changes_nothing(given, monkeypatch):
    monkeypatch.setattr(compiled, "compiled_finish", None)
    model, prompts, context_tokens = given
    found = build_engine(model, prompts, context_tokens, kernels="fused")
    assert isinstance(found, CausalPromptEngine)
    assert found._finish == found._blocks.finish


def test_on_a_gpu_the_option_reaches_the_engine(given, monkeypatch):
    model, prompts, context_tokens = given
    asked = []
    monkeypatch.setattr(engine, "_choose", lambda *arguments: asked.append(arguments[-1]) or model)
    for device, kernels in (("cuda", "fused"), ("cuda", "standard"), ("cpu", "fused")):
        there = type("Model", (), {"device": torch.device(device)})()
        build_engine(there, prompts, context_tokens, kernels=kernels)
    assert asked == [True, False, False]
