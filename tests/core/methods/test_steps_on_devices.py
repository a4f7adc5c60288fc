"""A tuning step as a GPU would run it: on fake CUDA tensors, and without a read from the device."""

from __future__ import annotations

import io
import pickle
import threading
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from seraser_core.config.methods.seraser import SeraserOptions
from seraser_core.config.methods.seraser_task import SeraserTaskOptions
from seraser_core.config.methods.tpt import TptOptions
from seraser_core.config.options import ModelOptions
from seraser_core.methods import MethodContext, method_class
from seraser_core.models.causal import CausalPromptEngine
from seraser_core.models.clip_model import get_model
from seraser_core.models.plain import PlainPromptEngine
from seraser_core.models.prompts import build_prompts

CLASSES = [f"animal number {i}" for i in range(5)]
CASES = {
    "paper": SeraserOptions(preset="paper", steps=2),
    "reference": SeraserOptions(preset="reference", steps=2),
    "preserve": SeraserOptions(preset="preserve", pseudo_label=True, steps=2),
    "task": SeraserTaskOptions(preset="reference", steps=2),
    "tpt": TptOptions(steps=2, views=12),
}
ENGINES = ["packed, recomputed", "plain", "plain, recomputed"]
PAIRS = [*((case, "packed") for case in CASES), *(("preserve", engine) for engine in ENGINES)]
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal", "is_nonzero")
"""Operations that wait for the device: what they return is read by the processor."""


class NoReads(TorchDispatchMode):
    """Refuses what would wait for the device, or copy from or to it."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        assert name not in WAITS, f"a step reads from the device by {name}"
        return function(*args, **(kwargs or {}))


@pytest.fixture(params=PAIRS, ids=", ".join)
def method(request, tiny_json, monkeypatch):
    case, engine = request.param
    model = get_model(ModelOptions(name=tiny_json, pretrained=None, precision="bf16", device="cpu"))
    context = MethodContext(
        model, build_prompts(CLASSES, "a photo of {}", model.tokenizer, model.context_length)
    )
    found = method_class(CASES[case])(CASES[case], context)
    inner = getattr(found, "_seraser", found)
    monkeypatch.setattr("seraser_core.models.plain._CLASSES_AT_ONCE", 2)
    given = model, context.prompts, len(inner.engine.initial_prompt)
    plain = engine.startswith("plain")
    inner.engine = PlainPromptEngine(*given) if plain else CausalPromptEngine(*given, 12)
    inner.engine.memory = 0 if "recomputed" in engine else 2**40
    return found


def features_of(method, device="cpu"):
    """Random features of the views that the method tunes on."""
    views = method.sample_views or method.views
    return {view.name: torch.randn(4, view.count, 32, device=device) for view in views}


def tune(method, features):
    """Have the method tune, and predict."""
    if method.sample:
        method.fit(features)
    return method.predict({"image": features["image"]} if method.sample else features)


def test_a_step_reads_nothing_from_the_device(method):
    recorded = []

    def record(step):
        def watched():
            with NoReads():
                step()

        watched()
        recorded.append(watched)
        return watched

    method._tuner._given = record
    for _ in range(2):
        assert tune(method, features_of(method)).logits.isfinite().all()
    assert len(recorded) == 1


def test_reads_are_noticed():
    with NoReads(), pytest.raises(AssertionError, match="_local_scalar_dense"):
        torch.ones(1).item()


def test_losses_stay_on_a_cuda_device(method):
    """Autograd would ask the device for its streams: that far goes the first of the two ways."""
    with FakeTensorMode(allow_non_fake_inputs=False):
        method = on_cuda(method)
        inner = getattr(method, "_seraser", method)
        features = features_of(method, "cuda")
        if isinstance(CASES["tpt"], type(inner.options)):
            prompt, inputs = inner._tokens, {"confident": torch.randn(4, 2, 32, device="cuda")}
        else:
            prompt, inputs = inner.engine.initial_prompt, inner.constants(features)
        batch = 1 if method.sample else 4
        losses = method._tuner.losses(prompt.expand(batch, -1, -1), inputs)
        assert losses.device.type == "cuda" and losses.shape == (batch,)
        optimiser = method._tuner.optimiser(torch.empty(1, device="cuda", requires_grad=True))
        assert not optimiser.defaults["capturable"], "torch would warn of every other step"


def on_cuda(value: Any) -> Any:
    """A copy in which every tensor is a fake one on a CUDA device."""
    kept: list[Any] = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, each):
            whole = (torch.Tensor, type(threading.Lock()), threading.local)
            if isinstance(each, whole) or type(each).__name__ in ("ClipModel", "Prompts"):
                kept.append(each)
                return len(kept) - 1
            return None

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, number):
            each = kept[number]
            if not isinstance(each, torch.Tensor):
                return each
            made = torch.empty(each.shape, dtype=each.dtype, device="cuda")
            if isinstance(each, torch.nn.Parameter):
                made = torch.nn.Parameter(made, requires_grad=False)
            return made

    data = io.BytesIO()
    Pickler(data).dump(value)
    data.seek(0)
    return Unpickler(data).load()
