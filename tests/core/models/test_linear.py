"""Products by oneDNN against torch's own."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from seraser_core.models import blocks, linear
from seraser_core.models.blocks import read_blocks
from seraser_core.models.linear import Linear, packs

REALLY_TRY = linear._works.__wrapped__
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(params=["oneDNN", "torch"], autouse=True)
def library(request, monkeypatch):
    """Each test with and without oneDNN, where there is one."""
    if request.param == "torch":
        monkeypatch.setattr(linear, "_works", lambda: False)
    elif not packs(torch.zeros(1, 1)):
        pytest.skip("this processor has no use for oneDNN")


def numbers(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(1,), (7,), (3, 5), (2, 1, 300)])
def test_products_sums_and_activations(rows, bias):
    weight, b = numbers(24, 16), numbers(24) if bias else None
    layer = Linear(weight, b)
    x, residual = numbers(*rows, 16), numbers(*rows, 24)
    expected = F.linear(x, weight, b)
    torch.testing.assert_close(layer(x), expected, **CLOSE)
    before = residual.clone()
    torch.testing.assert_close(layer.add_to(residual, x), residual + expected, **CLOSE)
    assert torch.equal(residual, before), "not changed in place"
    for activation in (nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.ReLU(), torch.sin):
        found = layer.activated(x, activation)
        torch.testing.assert_close(found, activation(expected), **CLOSE)


@pytest.mark.parametrize("strided", ["transposed", "every other row", "one row repeated"])
def test_operands_need_not_be_contiguous(strided):
    x, residual = {
        "transposed": (numbers(16, 6).t(), numbers(24, 6).t()),
        "every other row": (numbers(12, 16)[::2], numbers(12, 24)[::2]),
        "one row repeated": (numbers(1, 16).expand(6, -1), numbers(1, 24).expand(6, -1)),
    }[strided]
    layer = Linear(numbers(48, 16)[::2], numbers(24))
    expected = F.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), expected, **CLOSE)
    torch.testing.assert_close(layer.add_to(residual, x), residual + expected, **CLOSE)


@pytest.mark.parametrize("wanted", ["x", "residual", "both"])
def test_gradients(wanted):
    first, second = Linear(numbers(24, 16), numbers(24)), Linear(numbers(16, 24), None)
    x, residual, weights = numbers(5, 16), numbers(5, 16), numbers(5, 16)
    of = [each for each, name in ((x, "x"), (residual, "residual")) if wanted in (name, "both")]

    def gradients(work):
        for each in of:
            each.requires_grad_()
        return torch.autograd.grad((work() * weights).sum(), of)

    def literal():
        hidden = F.silu(F.linear(x, first.weight, first.bias))
        return residual + F.linear(hidden, second.weight)

    found = gradients(lambda: second.add_to(residual, first.activated(x, nn.SiLU())))
    for ours, theirs in zip(found, gradients(literal), strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE)


def test_a_part_of_the_outputs():
    layer, x = Linear(numbers(24, 16), numbers(24)), numbers(5, 16)
    torch.testing.assert_close(layer.part(slice(8, None))(x), layer(x)[:, 8:], **CLOSE)


def test_what_is_not_finite_stays_so():
    x = numbers(5, 16)
    x[2, 3] = float("nan")
    found = Linear(numbers(24, 16), numbers(24))(x)
    assert found[2].isnan().all() and found[[0, 1, 3, 4]].isfinite().all()


def test_threads_that_meet_at_the_first_use_get_the_same():
    layer, x = Linear(numbers(512, 256), numbers(512)), numbers(64, 256)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(layer, [x] * 8))
    assert all(torch.equal(each, found[0]) for each in found)


@pytest.mark.parametrize("fault", [AttributeError, RuntimeError, TypeError])
def test_where_torch_has_other_functions_it_multiplies_itself(monkeypatch, fault):
    def fail(*_):
        raise fault("no such operator")

    monkeypatch.setattr(linear, "_pack", fail)
    monkeypatch.setattr(linear, "_works", REALLY_TRY)
    layer, x = Linear(numbers(24, 16), numbers(24)), numbers(5, 16)
    assert torch.equal(layer(x), F.linear(x, layer.weight, layer.bias))


def test_functions_that_compute_something_else_are_not_used(monkeypatch):
    monkeypatch.setattr(linear, "_known", lambda _: ("none", ""))
    assert not REALLY_TRY()


def test_where_onednn_has_no_memory_for_kernels_torch_goes_on(monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("could not create a primitive")

    linear._tell.cache_clear()
    layer, x, residual = Linear(numbers(24, 16), numbers(24)), numbers(5, 16), numbers(5, 24)
    if not packs(layer.weight):
        return
    monkeypatch.setattr(linear, "_product", fail)
    monkeypatch.setattr(linear, "_sum", fail)
    expected = F.linear(x, layer.weight, layer.bias)
    assert torch.equal(layer(x), expected)
    assert torch.equal(layer.add_to(residual, x), residual + expected)
    assert torch.equal(layer.activated(x, nn.SiLU()), F.silu(expected))
    assert torch.equal(layer.gradient(residual), residual @ layer.weight)
    assert len(caplog.records) == 1, "said once"


def test_other_faults_are_not_hidden(library, monkeypatch):
    def fail(*_):
        raise RuntimeError("an illegal instruction")

    layer, x = Linear(numbers(24, 16), None), numbers(5, 16)
    if not packs(layer.weight):
        return
    monkeypatch.setattr(linear, "_product", fail)
    with pytest.raises(RuntimeError, match="illegal instruction"):
        layer(x)


def test_copies_and_pickles():
    layer, x = Linear(numbers(24, 16), numbers(24)), numbers(5, 16)
    layer.gradient(layer(x))
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(copied(x), layer(x))


def test_a_second_derivative_is_refused():
    layer, x = Linear(numbers(24, 16), None), numbers(5, 16).requires_grad_()
    if not packs(layer.weight):
        return
    (gradient,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("without", ["oneDNN", "AVX2", "x86"])
def test_processors_for_which_torch_multiplies(monkeypatch, without):
    name, owner, found = {
        "oneDNN": ("enabled", torch.backends.mkldnn, False),
        "AVX2": ("get_cpu_capability", torch.backends.cpu, lambda: "DEFAULT"),
        "x86": ("machine", linear.platform, lambda: "aarch64"),
    }[without]
    monkeypatch.setattr(owner, name, found)
    assert not packs(numbers(2, 2))


def test_towers_that_fill_the_memory_are_not_packed(tiny_model, monkeypatch):
    transformer, norm = tiny_model.net.visual.transformer, tiny_model.net.visual.ln_post
    x = numbers(5, norm.normalized_shape[0])
    expected = read_blocks(transformer.resblocks, norm).layers[0].qkv(x)
    monkeypatch.setattr(blocks, "packing_budget", lambda: 0)
    layer = read_blocks(transformer.resblocks, norm).layers[0].qkv
    torch.testing.assert_close(layer(x), expected, **CLOSE)
    assert torch.equal(layer(x), F.linear(x, layer.weight, layer.bias))
