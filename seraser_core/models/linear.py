"""Products with frozen weights, by oneDNN where it is faster than what torch takes by itself.

On x86 processors torch multiplies fp32 matrices with MKL. oneDNN keeps the weights in the order in
which its kernels read them, and adds the bias or the residual and applies the activation while a
part of the product is in the cache.
"""

from __future__ import annotations

import functools
import logging
import os
import platform
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seraser_core.models.memory import is_out_of_memory

logger = logging.getLogger(__name__)
Activation = Callable[[Tensor], Tensor]

# For every number of rows oneDNN compiles and keeps kernels, half a megabyte each: of 1,024 by
# default. It reads this once, before its first work.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")

_X86 = ("x86_64", "amd64")
_VECTORS = ("AVX2", "AVX512")
"""Without them MKL is faster."""
_NO_KERNEL = "could not create a primitive"
_USUAL_ROWS = 1024
"""Rows for which the order of the weights is chosen; it serves any number."""


class Linear:
    """x W^T + b, differentiable in x alone, and once.

    Where oneDNN does it, each direction keeps a copy of the weights from its first use on; so they
    must not change.

    Args:
        weight: (out, in).
        bias: (out,), or None.
        packed: Let oneDNN do it where `packs` says so.

    Attributes:
        weight: As given.
        bias: As given.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, packed: bool = True) -> None:
        self.weight, self.bias = weight, bias
        self._packs = packed and packs(weight)

    def __call__(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        if not self._packs:
            return F.linear(x, self.weight, self.bias)
        if x.requires_grad and torch.is_grad_enabled():
            found: Tensor = _Product.apply(x, self)
            return found
        return _either(
            lambda: _product(x, self._packed, self.bias),
            lambda: F.linear(x, self.weight, self.bias),
        )

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """Return ``residual + self(x)``, both (..., out)."""
        if not self._packs:
            return residual + F.linear(x, self.weight, self.bias)
        if (x.requires_grad or residual.requires_grad) and torch.is_grad_enabled():
            found: Tensor = _Sum.apply(residual, x, self)
            return found
        return _either(
            lambda: _sum(residual, x, self._packed, self.bias),
            lambda: residual + F.linear(x, self.weight, self.bias),
        )

    def activated(self, x: Tensor, activation: Activation) -> Tensor:
        """Return ``activation(self(x))``."""
        known = _known(activation)
        if not self._packs or known is None or (x.requires_grad and torch.is_grad_enabled()):
            return activation(self(x))
        return _either(
            lambda: _product(x, self._packed, self.bias, *known),
            lambda: activation(F.linear(x, self.weight, self.bias)),
        )

    def gradient(self, gradient: Tensor) -> Tensor:
        """Return the gradient of x, (..., in), from that of ``self(x)``, (..., out)."""
        return _either(
            lambda: _product(gradient, self._packed_transpose, None),
            lambda: gradient @ self.weight,
        )

    def part(self, outputs: slice) -> Linear:
        """Return the map to some of the outputs."""
        bias = None if self.bias is None else self.bias[outputs]
        return Linear(self.weight[outputs], bias, self._packs)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the copies out, which can be neither copied nor pickled."""
        return {k: v for k, v in vars(self).items() if k not in ("_packed", "_packed_transpose")}

    @functools.cached_property
    def _packed(self) -> Tensor:
        return _pack(self.weight)

    @functools.cached_property
    def _packed_transpose(self) -> Tensor:
        return _pack(self.weight.t())


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Linear) -> Tensor:
        ctx.layer = layer
        return layer(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return ctx.layer.gradient(gradient), None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, residual: Tensor, x: Tensor, layer: Linear) -> Tensor:
        ctx.layer = layer
        return layer.add_to(residual, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        wanted = ctx.needs_input_grad[1]
        return gradient, ctx.layer.gradient(gradient) if wanted else None, None


def packs(weight: Tensor) -> bool:
    """Return whether products with `weight` are done by oneDNN."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and bool(torch.backends.mkldnn.enabled)
        and platform.machine().lower() in _X86
        and torch.backends.cpu.get_cpu_capability() in _VECTORS
        and _works()
    )


@functools.cache
def _works() -> bool:
    """Try torch's functions for oneDNN: they are not public, and a version may change them."""
    ones = functools.partial(torch.ones, dtype=torch.float32, device="cpu")
    weight, bias, residual = ones(24, 16), ones(24), ones(5, 24)
    x = ones(5, 16) * torch.linspace(-1, 1, 5, dtype=torch.float32, device="cpu")[:, None]
    expected = F.linear(x, weight, bias)
    try:
        packed = _pack(weight)
        pairs = [
            (_product(x, packed, bias), expected),
            (_sum(residual, x, packed, bias), residual + expected),
        ]
        for activation in (nn.SiLU(), nn.GELU(), nn.GELU("tanh")):
            found = _product(x, packed, bias, *(_known(activation) or ()))
            pairs.append((found, activation(expected)))
    except (AttributeError, RuntimeError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        logger.info("torch's functions for oneDNN cannot be used: %s", error)
        return False
    return all(torch.allclose(*pair, rtol=1e-4, atol=1e-5) for pair in pairs)


def _either(by_onednn: Callable[[], Tensor], by_torch: Callable[[], Tensor]) -> Tensor:
    """The first, or the second where oneDNN has no memory to compile a kernel.

    After that it compiles no more in this thread, while torch's own products go on.
    """
    try:
        return by_onednn()
    except RuntimeError as error:
        if _NO_KERNEL not in str(error):
            raise
    _tell()
    return by_torch()


@functools.cache
def _tell() -> None:
    logger.warning("oneDNN has no memory for its kernels; products are computed without it")


def _known(activation: Activation) -> tuple[str, str] | None:
    """The name and form by which oneDNN knows an activation."""
    if type(activation) is nn.SiLU:
        return "swish", ""
    if type(activation) is nn.GELU:
        return "gelu", activation.approximate
    return None


def _pack(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(
        weight.detach().contiguous(), _USUAL_ROWS
    )
    return packed


def _product(
    x: Tensor, packed: Tensor, bias: Tensor | None, activation: str = "none", form: str = ""
) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, activation, [], form)
    return found


def _sum(residual: Tensor, x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, packed, bias, "add")
    return found
