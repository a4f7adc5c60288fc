"""The benchmarks' own arithmetic, where it can be checked without a clock."""

from __future__ import annotations

import logging
import math
from collections import Counter

import engine
import pytest
import torch
from agreement import compare
from floor import PICTURES, floor_macs, picture_macs, prompts_macs
from inputs import class_names, class_prompts, random_pictures
from literal import KINDS, graph_bytes, time_literal
from rich.console import Console
from stages import STEPS, VIEWS, Engine, Stages, auto_batch
from torch.utils.flop_counter import FlopCounterMode

from seraser_core.config.options import ModelOptions
from seraser_core.methods import MethodContext
from seraser_core.models.causal import CausalPromptEngine
from seraser_core.models.clip_model import get_model
from seraser_core.models.image_tower import ImageTower

CLASSES = 5


@pytest.fixture
def model(tiny_json):
    return get_model(ModelOptions(name=tiny_json, pretrained=None, device="cpu"))


def products(work) -> float:
    """Multiply-adds of the matrix products of `work`, those of attention in the text left out."""
    return sum(count for op, count in operations(work) if "attention" not in op) / 2


def attention(work) -> float:
    return sum(count for op, count in operations(work) if "attention" in op) / 2


def operations(work):
    """The operations of `work`, and twice the multiply-adds of each."""
    by_onednn = {torch.ops.mkldnn._linear_pointwise: of_onednn}
    with FlopCounterMode(display=False, custom_mapping=by_onednn) as counter:
        work()
    return [(str(op), count) for op, count in counter.get_flop_counts()["Global"].items()]


def of_onednn(x, *others, **_) -> int:
    outputs, inputs = others[1 if "add" in others else 0]  # the residual is before the weight
    return 2 * math.prod(x[:-1]) * outputs * inputs


def test_floor_of_the_prompts_is_what_the_engine_computes_forward_and_back(model):
    prompts = class_prompts(model, CLASSES)
    engine = CausalPromptEngine(model, prompts, 3)
    prompt = engine.initial_prompt[None].clone().requires_grad_()
    forward = products(lambda: engine.text_features(prompt))
    both = products(lambda: engine.text_features(prompt).sum().backward())
    assert forward == prompts_macs(model, prompts)
    assert both == 2 * forward


def test_floor_of_a_picture_is_what_the_image_tower_computes(model):
    picture, tower = torch.randn(1, 3, *model.preprocessing.size), ImageTower(model.net.visual)

    def work():
        with torch.no_grad():
            tower(picture)

    width = model.net.visual.conv1.weight.shape[0]
    projection = width * model.net.visual.proj.shape[1]
    assert products(work) + attention(work) == picture_macs(model) + projection


def test_floor_of_the_method(model):
    prompts = class_prompts(model, CLASSES)
    expected = PICTURES * picture_macs(model) + 41 * prompts_macs(model, prompts)
    assert floor_macs(model, prompts, 20) == expected


def test_the_time_of_all_steps_is_told_from_those_that_were_timed():
    stages = Stages(encode=3.0, tuning=0.5, final=1.0, timed_steps=2)
    assert stages.whole == 3 + 10 * 0.5 + 1
    assert stages.shares() == pytest.approx({"encode": 3 / 9, "tuning": 5 / 9, "final": 1 / 9})
    assert Stages(3.0, 5.0, 1.0, STEPS).whole == 9


@pytest.mark.parametrize("kind", KINDS)
def test_estimate_of_the_memory_of_the_literal_procedure(model, kind):
    pictures = {name: x[0].float() for name, x in random_pictures(model, 1).items()}
    pictures["black"] = torch.zeros_like(pictures["image"])
    prompts = class_prompts(model, CLASSES)
    weights = {weight.data_ptr(): weight.nbytes for weight in model.net.parameters()}
    live: Counter[tuple[int, int]] = Counter()
    peak = 0

    class Kept:
        """A tensor that a graph keeps for the way back."""

        def __init__(self, tensor):
            nonlocal peak
            storage = tensor.untyped_storage()
            self.tensor = tensor.detach()  # with its graph it would keep itself
            self.key = storage.data_ptr(), storage.nbytes()
            live[self.key] += self.key[0] not in weights
            peak = max(peak, sum(size for (_, size), count in live.items() if count))

        def __del__(self):
            live[self.key] -= self.key[0] not in weights

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        time_literal(model, prompts, pictures, 1, kind)
    gradients = sum(weights.values()) if kind == "published" else 0
    print(f"{kind}: keeps {peak}, gradients {gradients}", graph_bytes(model, CLASSES, kind))
    assert 1 <= (graph_bytes(model, CLASSES, kind) - gradients) / peak <= 2


def test_the_literal_procedure_and_the_engine_give_the_same_logits(model):
    context = MethodContext(model, class_prompts(model, CLASSES))
    pixels = random_pictures(model, 1)
    ours = Engine(context, 3).logits(pixels)[0]
    pictures = {name: model.preprocessing.normalise(x[0]) for name, x in pixels.items()}
    pictures["black"] = model.preprocessing.normalise(torch.zeros_like(pixels["image"][0]))
    for kind in KINDS:
        logits, _ = time_literal(model, context.prompts, pictures, 3, kind)
        assert (logits - ours).abs().max() < 1e-4
    assert not any(weight.requires_grad for weight in model.net.parameters())


def test_literal_procedures_that_do_not_fit_are_left_out(tiny_json, monkeypatch):
    options = ModelOptions(name=tiny_json, pretrained=None, device="cpu")
    enough = graph_bytes(get_model(options), CLASSES, "frozen")
    monkeypatch.setattr(engine, "available_bytes", lambda device: enough)
    row = engine.measure_speed(options, CLASSES, 2, timed_steps=1, repeats=1, kinds=KINDS)
    assert row["published"] == {"skipped": "literal: would need 0 GiB"}
    assert row["frozen"]["ratio"] == pytest.approx(
        row["images_per_s"] / row["frozen"]["images_per_s"]
    )
    assert row["frozen"]["difference"] < 1e-4
    assert sum(row["stages"].values()) == pytest.approx(1)
    console = Console(width=200, record=True)
    console.print(engine.speed_table([{"model": "tiny", **row}]))
    assert "would need" in console.export_text()


def test_a_row_tells_what_it_was_measured_with(tiny_json, monkeypatch):
    monkeypatch.setattr(engine, "matrix_rate", lambda *_: 1e12)
    options = ModelOptions(name=tiny_json, pretrained=None, device="cpu")
    tune = engine.Engine.time

    def with_warning(*arguments):
        logging.getLogger("seraser_core.methods.tuning").warning("cannot be %s", "recorded")
        return tune(*arguments)

    monkeypatch.setattr(engine.Engine, "time", with_warning)
    row = engine.measure_speed(options, CLASSES, 2, 2, 1, (), "fused")
    assert row["kernels"] == "standard", "on a CPU"
    assert row["warnings"] == ["cannot be recorded"]
    context = MethodContext(get_model(options), class_prompts(get_model(options), CLASSES))
    least = floor_macs(context.model, context.prompts, STEPS) / 1e12
    assert row["matrix_rate_share"] == pytest.approx(least * row["images_per_s"])
    tuning = row["stages"]["tuning"] / row["images_per_s"]
    assert row["ms_per_step"] == pytest.approx(1e3 * 2 * tuning / STEPS)
    console = Console(width=200, record=True)
    console.print(engine.speed_table([{"model": "tiny", **row}]))
    assert f"{row['ms_per_step']:.3g}" in console.export_text()


def test_agreement_and_the_widest_margin_of_the_others():
    exact = torch.tensor([[0.7, 0.3, 0.0], [0.5, 0.4, 0.1], [0.1, 0.3, 0.6]]).log()
    other = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    found = compare(exact, other)
    assert found["agreement"] == pytest.approx(1 / 3)
    assert found["margin"] == pytest.approx(0.5)
    assert compare(exact, exact) == {"agreement": 1, "margin": 0}


def test_inputs(model):
    assert len(set(class_names(1000))) == 1000
    ends = class_prompts(model, 1000).tokens.argmax(-1)
    assert 6 <= ends.double().mean() <= 12
    assert auto_batch(MethodContext(model, class_prompts(model, 2))) == 64
    some, others = random_pictures(model, 3), random_pictures(model, 2, first=1)
    assert set(some) == set(VIEWS)
    assert all(torch.equal(some[view][1:], others[view]) for view in VIEWS)
