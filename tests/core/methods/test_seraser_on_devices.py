"""SEraser on a device as a run computes it: the same tests on a CPU and, where there is one, a GPU.

On a GPU the model is in bf16 and steps are CUDA graphs; on a CPU a function stands for the graph,
so that all but the device is the same.
"""

from __future__ import annotations

import json
import queue
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from seraser_core import steps
from seraser_core.config import load_config
from seraser_core.config.methods.seraser import SeraserOptions
from seraser_core.config.options import ModelOptions
from seraser_core.methods import MethodContext, tuning
from seraser_core.methods.recording import release_memory
from seraser_core.methods.seraser import Seraser
from seraser_core.methods.tuning import PromptTuner
from seraser_core.models import causal, linear, row_attention
from seraser_core.models.causal import CausalPromptEngine
from seraser_core.models.clip_model import get_model
from seraser_core.models.prompts import build_prompts
from seraser_core.runner.attempt import Attempt
from seraser_core.runner.feed import Feed
from seraser_core.runner.infer import in_batches
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run
from seraser_core.runner.session import open_session

on_devices = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
MODEL = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 128, "patch_size": 8, "head_width": 64},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 3},
}
"""For GPUs, with heads of 64 as CLIP's: narrow ones get other kernels. CPUs get a smaller one."""
STEPS, LR = 3, 0.005
RECORDED_APART = {"cpu": 0.0, "cuda": 1e-2}
"""Logits of recorded steps and of the same ones started one by one; the scale is 14.3. On a GPU
they are the same kernels, of which libraries may choose others on another stream."""
WAIT_S = 60


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch):
    """As if nothing had been recorded in this process yet; what is recorded goes afterwards."""
    monkeypatch.setattr(tuning, "_unrecordable", threading.Event())
    yield
    release_memory()


@pytest.fixture(scope="module")
def model_json(tiny_json, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "wide.json"
    path.write_text(json.dumps(MODEL))
    return {"cpu": tiny_json, "cuda": str(path)}


@pytest.fixture
def make(model_json):
    """Builds the method for a device."""

    def build(device, classes=12, precision=None, name=None, **options):
        precision = precision or ("bf16" if device == "cuda" else "fp32")
        name = name or model_json[device]
        how = {"name": name, "pretrained": None, "precision": precision, "device": device}
        model = get_model(ModelOptions(**how))
        names = [f"animal number {i}" for i in range(classes)]
        prompts = build_prompts(names, "a photo of {}", model.tokenizer, model.context_length)
        options = {"steps": STEPS, "lr": LR, **options}
        method = Seraser(SeraserOptions(**options), MethodContext(model, prompts))
        return with_fresh_tuner(method)

    return build


def stand_in(step):
    """Records nothing: warms up as a recorder does, and repeats the step itself."""
    step()
    return step


def with_fresh_tuner(method):
    options = method.options
    record = None if method._context.model.device.type == "cuda" else stand_in
    method._tuner = PromptTuner(
        method._losses, options.steps, options.lr, options.weight_decay, record
    )
    return method


def features_of(method, count, seed=0):
    """Random features of `count` images."""
    generator = torch.Generator().manual_seed(seed)
    width, device = method._context.class_features.shape[1], method._context.model.device
    return {
        view.name: normalize(torch.randn(count, view.count, width, generator=generator), dim=-1).to(
            device
        )
        for view in method.views
    }


def recorded_sizes(method):
    return [shapes[0][0] for shapes in method._tuner._recorded]


def results(scores):
    return scores.logits, scores.loss_first, scores.loss_last


def are_equal(one, other):
    return all(map(torch.equal, results(one), results(other)))


def apart(one, other):
    return max(
        float((a - b).abs().max()) for a, b in zip(results(one), results(other), strict=True)
    )


def relative(found, exact):
    found, exact = found.detach().float().cpu(), exact.detach().float().cpu()
    return float((found - exact).norm() / exact.norm())


def predict_step_by_step(method, features, monkeypatch):
    """The same with steps that are not recorded."""
    never = threading.Event()
    never.set()
    with monkeypatch.context() as patch:
        patch.setattr(tuning, "_unrecordable", never)
        scores = with_fresh_tuner(method).predict(features)
    assert not recorded_sizes(method)
    return scores


@on_devices
@pytest.mark.parametrize("how", [{"preset": "paper"}, {"preset": "preserve", "pseudo_label": True}])
def test_recorded_steps_compute_what_steps_do(make, device, how, monkeypatch):
    method = make(device, **how)
    features = features_of(method, 11)
    recorded = method.predict(features)
    assert recorded_sizes(method) == [12]
    expected = predict_step_by_step(method, features, monkeypatch)
    assert apart(recorded, expected) <= RECORDED_APART[device]
    untuned = make(device, steps=0, **how).predict(features)
    assert apart(recorded, untuned) > 0.1


@on_devices
def test_replays_give_the_same_bits(make, device):
    method = make(device)
    one, other = (features_of(method, 12, seed) for seed in range(2))
    first = method.predict(one)
    between = method.predict(other)
    for _ in range(3):
        assert are_equal(method.predict(one), first)
    assert are_equal(method.predict(other), between)
    assert not are_equal(first, between)
    assert recorded_sizes(method) == [12]


@on_devices
def test_batches_of_several_sizes_share_memory_and_not_results(make, device):
    method = make(device)
    batches = [features_of(method, n, seed) for seed, n in enumerate((11, 24, 11, 5, 24))]
    together = [method.predict(features) for features in batches]
    assert recorded_sizes(method) == [12, 5, 24]
    for features, scores in zip(batches, together, strict=True):
        assert are_equal(with_fresh_tuner(method).predict(features), scores)


@on_devices
def test_rows_are_computed_twice_within_a_recorded_step(make, device, monkeypatch):
    method = make(device, classes=40, precision="fp32")
    features = features_of(method, 4)
    whole = method.predict(features)
    asked = []
    again = causal.checkpoint
    monkeypatch.setattr(causal, "checkpoint", lambda *x, **y: asked.append(x) or again(*x, **y))
    method.engine.memory = 4 * method.engine.bytes_per_image(True)
    twice = with_fresh_tuner(method).predict(features)
    assert recorded_sizes(method) == [4] and len({id(x[-1]) for x in asked}) > 1
    expected = predict_step_by_step(method, features, monkeypatch)
    assert apart(twice, expected) <= RECORDED_APART[device]
    assert apart(twice, whole) <= 1e-3


@pytest.fixture
def plan(tree, model_json):
    """Plans a run of 14 pictures on a device; returns its URL."""

    def plan_on(device, *overrides):
        where = f"model.name={model_json[device]}", f"model.device={device}"
        return plan_run(load_config(tree, (*where, *overrides)))

    return plan_on


@on_devices
def test_a_step_is_recorded_while_another_thread_copies_batches(make, plan, device):
    method = make(device)
    features = features_of(method, 12)
    expected = method.predict(features)
    session = open_session(plan(device))
    items = session.images.items(np.arange(session.images.count))
    wanted, copied = queue.SimpleQueue(), queue.SimpleQueue()

    def copy():
        """Give the run's three batches in turn, as often as one is wanted."""
        while True:
            with Feed(session, items, 5, Attempt()) as feed:
                for batch in feed:
                    batch.wait()
                    views = {name: view.cpu() for name, view in batch.views.items()}
                    if not wanted.get():
                        return
                    copied.put(views)

    def batches():
        """All three; the feed is two ahead, so the copy of the last one begins after the call."""
        for _ in range(3):
            wanted.put(True)
        return [copied.get(timeout=WAIT_S) for _ in range(3)]

    losses, meanwhile = with_fresh_tuner(method)._tuner.losses, []

    def with_copies(prompt, constants):
        if device == "cpu" or torch.cuda.is_current_stream_capturing():
            meanwhile.append(batches())
        return losses(prompt, constants)

    with ThreadPoolExecutor(1) as pool:
        copies = pool.submit(copy)
        try:
            before = batches()
            method._tuner.losses = with_copies
            found = method.predict(features)
        finally:
            wanted.put(False)
        copies.result(WAIT_S)
    assert are_equal(found, expected) and recorded_sizes(method) == [12]
    assert meanwhile
    for three in meanwhile:
        for views, same in zip(three, before, strict=True):
            assert all(torch.equal(views[name], same[name]) for name in same)
    assert not torch.equal(before[0]["image"], before[1]["image"])


@on_devices
def test_two_threads_record_at_once(make, device):
    methods = [make(device, preset=preset) for preset in ("paper", "reference")]
    given = [features_of(method, 12, seed) for seed, method in enumerate(methods)]
    expected = [method.predict(each) for method, each in zip(methods, given, strict=True)]
    start = threading.Barrier(2, timeout=WAIT_S)

    def work(number):
        start.wait()
        return [methods[number].predict(given[number]) for _ in range(3)]

    for _ in range(2):
        for method in methods:
            with_fresh_tuner(method)
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(work, range(2)))
        for scores, once, method in zip(found, expected, methods, strict=True):
            assert all(are_equal(each, once) for each in scores)
            assert recorded_sizes(method) == [12]


@contextmanager
def memory_for(images, engine, device, monkeypatch):
    """As if the device had no more free memory than the graphs of so many images take."""
    if device == "cpu":
        features = engine.text_features

        def limited(prompt):
            if len(prompt) > images:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return features(prompt)

        with monkeypatch.context() as patch:
            patch.setattr(engine, "text_features", limited)
            yield
        return
    release_memory()
    most = torch.cuda.memory_reserved() + images * engine.bytes_per_image(False)
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(most / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@on_devices
def test_a_batch_is_halved_when_memory_runs_out(make, device, monkeypatch, caplog):
    count = 16 if device == "cpu" else 512
    method = make(device, classes=40, precision="fp32", steps=2)
    method.engine.memory = 2**50  # or rows would be computed twice instead
    features = features_of(method, count)
    sizes = {"seraser": count}

    def logits():
        def work(part):
            return method.predict({name: view[part] for name, view in features.items()}).logits

        return torch.cat(in_batches(work, count, sizes, "seraser"))

    expected = logits()
    with memory_for(3 * count // 8, method.engine, device, monkeypatch):
        found = logits()
        halved = sizes["seraser"]
        assert count // 16 <= halved <= count // 2
        assert f"going on with {halved}" in caplog.text
        assert torch.equal(logits(), found)
    assert torch.equal(logits(), found) and sizes["seraser"] == halved
    assert float((found - expected).abs().max()) <= 1e-3


@on_devices
def test_files_become_the_same_bytes_again(plan, device, monkeypatch):
    url = plan(device)
    scored = []
    monkeypatch.setattr(
        steps, "listeners", [lambda step, _: scored.append(step) if step == "scored" else None]
    )

    def compute():
        run_local(url)
        return {file.name: file.read_bytes() for file in Path(url, "predictions").glob("*.parquet")}

    first = compute()
    assert len(first) == len(scored) == 3
    for commit in Path(url, "commits").iterdir():
        commit.unlink()
    assert compute() == first
    assert len(scored) == 6, "computed again"


def engine_of(method, fused):
    context = method._context
    model = replace(context.model)  # reads its blocks anew
    return CausalPromptEngine(model, context.prompts, method.options.context_tokens, fused=fused)


def features_and_gradient(engine):
    prompt = (engine.initial_prompt + 0.05).repeat(4, 1, 1).requires_grad_()
    features = engine.text_features(prompt)
    (gradient,) = torch.autograd.grad((features**3).sum(), prompt)
    return features, gradient


def warnings_of(caplog):
    return [each.getMessage() for each in caplog.records if each.name.startswith("seraser")]


WITH_COMPILER = pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
FUSED_APART = {
    "cpu": {"features": 1e-5, "gradient": 1e-4, "logits": 1e-3},
    "cuda": {"features": 2e-2, "gradient": 1e-1, "logits": 1e-1},
}
"""Relative; in fp32 on a CPU, in bf16 on a GPU."""


@pytest.mark.parametrize(
    "device",
    [
        pytest.param("cpu", marks=[pytest.mark.slow, WITH_COMPILER]),
        pytest.param("cuda", marks=pytest.mark.gpu),
    ],
)
def test_fused_kernels_compute_the_same(make, device, monkeypatch, caplog):
    monkeypatch.setattr(linear, "_works", lambda: False)  # oneDNN's products are not compiled
    method = make(device, classes=30, lr=5e-4)
    features = features_of(method, 12)
    standard, expected = features_and_gradient(method.engine), method.predict(features)
    method.engine = engine_of(method, fused=True)
    assert method.engine._by_triton == (device == "cuda")
    assert method.engine._finish != method.engine._blocks.finish, warnings_of(caplog)
    found = with_fresh_tuner(method).predict(features)
    assert recorded_sizes(method) == [12] and not warnings_of(caplog)
    assert are_equal(method.predict(features), found)
    pairs = zip(features_and_gradient(method.engine), standard, strict=True)
    errors = dict(zip(("features", "gradient"), (relative(*pair) for pair in pairs), strict=True))
    errors["logits"] = relative(found.logits, expected.logits)
    print(errors)
    assert {
        name: error for name, error in errors.items() if error > FUSED_APART[device][name]
    } == {}


@on_devices
def test_where_fused_kernels_fail_the_others_are_used(make, device, monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("no compiler")

    method = make(device)
    features = features_of(method, 12)
    expected = method.predict(features)
    monkeypatch.setattr(torch, "compile", lambda *_, **__: fail)
    monkeypatch.setattr(row_attention, "attend_rows", fail)
    monkeypatch.setattr(row_attention, "_runs", row_attention._runs.__wrapped__)
    method.engine = engine_of(method, fused=True)
    assert are_equal(with_fresh_tuner(method).predict(features), expected)
    assert recorded_sizes(method) == [12]
    told = warnings_of(caplog)
    assert len(told) == {"cpu": 1, "cuda": 2}[device]
    assert all("no compiler" in message for message in told)


def values(method):
    model = method._context.model
    generator = torch.Generator().manual_seed(0)
    size = (8, 3, *model.preprocessing.size)
    pixels = torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
    features, gradient = features_and_gradient(method.engine)
    return {
        "image": model.encode_pixels(pixels),
        "text": method._context.class_features,
        "tuned text": features,
        "gradient": gradient,
        "logits": method.predict(features_of(method, 12)).logits,
    }


MOST_APART = {
    "fp32": {"image": 1e-5, "text": 1e-5, "tuned text": 1e-5, "gradient": 1e-4, "logits": 1e-3},
    "bf16": {"image": 2e-2, "text": 2e-2, "tuned text": 3e-2, "gradient": 1e-1, "logits": 1e-1},
}
"""Relative to what fp32 gives on a CPU."""


@pytest.mark.parametrize(
    ("device", "precision"),
    [
        ("cpu", "bf16"),
        pytest.param("cuda", "fp32", marks=pytest.mark.gpu),
        pytest.param("cuda", "bf16", marks=pytest.mark.gpu),
    ],
)
def test_another_precision_or_device_is_near_fp32_on_the_processor(
    make, model_json, device, precision
):
    how = {"name": model_json[device], "lr": 5e-4}
    exact = values(make("cpu", precision="fp32", **how))
    found = values(make(device, precision=precision, **how))
    errors = {name: relative(found[name], exact[name]) for name in exact}
    print(errors)
    assert {name: x for name, x in errors.items() if x > MOST_APART[precision][name]} == {}
