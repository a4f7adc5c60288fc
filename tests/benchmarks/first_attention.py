"""Ways to attend within rows, at the shapes that tuning has on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from machine import seconds
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from seraser_core.models.causal import CausalPromptEngine
from seraser_core.models.row_attention import attend_rows, serves

sys.path.append(str(Path(__file__).parents[1] / "reference"))
from literal_rows import literal

_CASES = {
    "ViT-B/32 C=2": (2048, 11, 8),
    "ViT-L/14 C=200": (1024, 63, 12),
    "ViT-L/14 C=1000": (1780, 63, 12),
}
"""Rows of all images, positions of a row, heads."""
_BACKENDS = {"cpu": ("MATH",), "cuda": ("EFFICIENT_ATTENTION", "CUDNN_ATTENTION", "MATH")}
_HEAD = 64


def ways_to_attend(
    device: torch.device, small: bool
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Yield the name of each case and way, and what measures it."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    for case, (rows, tokens, heads) in ({"tiny": (4, 11, 2)} if small else _CASES).items():
        inputs = _inputs(rows, tokens, heads, dtype)
        here = [each.to(device) for each in inputs]
        ways = {name: _by_torch(name, heads, here) for name in _BACKENDS[device.type]}
        if serves(device, dtype, tokens, heads, _HEAD):
            ways["Triton"] = _with(attend_rows, heads)
        inputs[0] = inputs[0][:2]
        precise = [each.double() if each.is_floating_point() else each for each in inputs]
        exact = _attended(_with(literal, heads), precise)
        for way, attend in ways.items():
            yield f"{case} {way}", _measuring(attend, here, exact)


def _measuring(*given: Any) -> Callable[[], dict[str, Any]]:
    return lambda: _attending(*given)


def _with(attend: Callable[..., Tensor], heads: int) -> Callable[..., Tensor]:
    return lambda *inputs: attend(*inputs, heads)


def _attending(
    attend: Callable[..., Tensor], inputs: list[Tensor], exact: list[Tensor]
) -> dict[str, Any]:
    """Figures of one way; `exact` has the values and the gradient of the first rows."""
    device = inputs[0].device
    found: list[list[Tensor]] = []
    took = [seconds(lambda: found.append(_attended(attend, inputs)), device) for _ in range(5)]
    first, *others = found
    errors = [relative(x[: len(e)].double().cpu(), e) for x, e in zip(first, exact, strict=True)]
    return {
        "ms": 1e3 * min(took),
        "first_ms": 1e3 * took[0],
        "finite": all(bool(x.isfinite().all()) for x in first),
        "repeatable": all(all(map(torch.equal, first, other)) for other in others),
        "error": errors[0],
        "gradient_error": errors[1],
    }


def _inputs(rows: int, tokens: int, heads: int, dtype: torch.dtype) -> list[Tensor]:
    """Queries, keys and values; start-of-text's; owners: classes of nine tokens behind three."""
    generator = torch.Generator().manual_seed(0)
    width = heads * _HEAD
    shapes = (rows, tokens, 3 * width), (1, 1, width), (1, 1, width)
    given = [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]
    owner = (torch.arange(tokens) - 3).div(9, rounding_mode="floor") + 1
    return [*given, owner.to(torch.int32)[None]]


def _bias(owner: Tensor, rows: int, dtype: torch.dtype) -> Tensor:
    """As the engine makes it: (rows, 1, T, 1 + T), every line of it aligned."""
    tokens = owner.shape[1]
    seen = F.pad(owner, (1, 0))
    allowed = torch.ones(tokens, 1 + tokens, dtype=torch.bool, device=owner.device).tril(1)
    allowed = allowed & ((seen == owner.T) | (seen == 0))
    aligned = 8 * (tokens // 8 + 1)
    bias = torch.zeros(rows, 1, tokens, aligned, dtype=dtype, device=owner.device)
    return bias[..., : 1 + tokens].masked_fill_(~allowed, float("-inf"))


def _by_torch(backend: str, heads: int, inputs: list[Tensor]) -> Callable[..., Tensor]:
    """The engine's own way, by one of torch's kernels."""
    bias = _bias(inputs[3], len(inputs[0]), inputs[0].dtype)

    def attend(qkv: Tensor, key: Tensor, value: Tensor, owner: Tensor) -> Tensor:
        engine = SimpleNamespace(_start=[(key, value)], _blocks=SimpleNamespace(heads=heads))
        with sdpa_kernel(getattr(SDPBackend, backend)):
            return CausalPromptEngine._attend(engine, 0, *qkv.chunk(3, dim=-1), bias)

    return attend


def _attended(attend: Callable[..., Tensor], inputs: list[Tensor]) -> list[Tensor]:
    """Attended values, and the gradient of the sum of their squares."""
    leaf = inputs[0].detach().requires_grad_()
    out = attend(leaf, *inputs[1:])
    return [out.detach(), *torch.autograd.grad(out.square().sum(), leaf)]


def relative(found: Tensor, exact: Tensor) -> float:
    """Norm of the error over that of the exact values."""
    return float((found - exact).norm() / exact.norm())
