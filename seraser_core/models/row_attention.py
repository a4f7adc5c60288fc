"""Attention within packed rows, by Triton: one kernel forward, one back.

They read queries, keys and values where one product has written them, and make the mask
themselves. Nothing is concatenated, nothing but the inputs is kept for the backward pass, and there
are no atomic operations: the same input gives the same bits.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

logger = logging.getLogger(__name__)

MOST_TOKENS = 63
"""Positions of a row: with start-of-text, one block of 64."""
_MOST_HEAD_SIZE = {torch.bfloat16: 128, torch.float32: 64}
"""Without TF32, fp32 has no tensor cores, and wider heads do not fit into the registers."""
_OLDEST = (8, 0)
"""Compute capability, the first with products in bf16."""


def serves(
    device: torch.device, dtype: torch.dtype, tokens: int, heads: int, head_size: int
) -> bool:
    """Return whether `attend_rows` works here, which compiles its kernels.

    Ask before a CUDA graph is captured. The answer holds for the process.

    Args:
        device: Where the rows are.
        dtype: Their type: bfloat16 or float32.
        tokens: Positions T of a row, 1 to 63.
        heads: Attention heads.
        head_size: Dimensions D of a head: to 128 in bfloat16, to 64 in float32.
    """
    return (
        device.type == "cuda"
        and torch.cuda.is_available()
        and torch.cuda.get_device_capability(device) >= _OLDEST
        and 1 <= tokens <= MOST_TOKENS
        and 1 <= head_size <= _MOST_HEAD_SIZE.get(dtype, 0)
        and importlib.util.find_spec("triton") is not None
        and _runs(device, dtype, tokens, heads, head_size)
    )


@functools.cache
def _runs(
    device: torch.device, dtype: torch.dtype, tokens: int, heads: int, head_size: int
) -> bool:
    """Try the kernels: Triton needs a C compiler and a folder to write to, among other things."""
    width = heads * head_size
    qkv = torch.zeros(1, tokens, 3 * width, dtype=dtype, device=device, requires_grad=True)
    start = torch.zeros(1, 1, width, dtype=dtype, device=device)
    owner = torch.zeros(1, tokens, dtype=torch.int32, device=device)
    try:
        with torch.enable_grad():
            attend_rows(qkv, start, start, owner, heads).sum().backward()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of compilers, linkers, drivers, file systems
        logger.warning("attention is computed without Triton, which fails: %s", error)
        return False
    return True


def attend_rows(
    qkv: Tensor, start_key: Tensor, start_value: Tensor, owner: Tensor, heads: int
) -> Tensor:
    """Attend within rows, each of which holds the tuned tokens and the own tokens of some classes.

    A position sees start-of-text and, of itself and those before it, the ones of its owner and the
    shared ones. Softmax and sums are in fp32. No gradient reaches start-of-text.

    Args:
        qkv: (N, T, 3 d) queries, keys and values; row i is ``owner[i % R]``.
        start_key: (1, 1, d) of start-of-text, its last dimension contiguous.
        start_value: (1, 1, d) of start-of-text, likewise.
        owner: (R, T) int32, contiguous: 0 where the token is shared, otherwise whose it is, with
            any number but 0 for unused positions.
        heads: Attention heads, of d / heads dimensions each.

    Returns:
        (N, T, d) attended values.

    Raises:
        ValueError: The shapes do not fit, or a row is too long.
    """
    tokens, width = qkv.shape[1], start_key.shape[-1]
    if not 1 <= tokens <= MOST_TOKENS or owner.shape[1] != tokens:
        raise ValueError(f"rows of {tokens} positions, and owners of {owner.shape[1]}")
    if qkv.shape[2] != 3 * width or width % heads:
        raise ValueError(f"qkv of {qkv.shape[2]}, with width {width} and {heads} heads")
    return _RowAttention.apply(qkv.contiguous(), start_key, start_value, owner, heads)


class _RowAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, start_key: Tensor, start_value: Tensor, owner: Tensor, heads: int
    ) -> Tensor:
        from seraser_core.models.row_kernels import attend_rows_forward  # Triton: Linux alone

        ctx.save_for_backward(qkv, start_key, start_value, owner)
        ctx.heads = heads
        out = qkv.new_empty(*qkv.shape[:2], start_key.shape[-1])
        _launch(attend_rows_forward, heads, qkv, start_key, start_value, owner, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        from seraser_core.models.row_kernels import attend_rows_backward

        out = torch.empty_like(ctx.saved_tensors[0])
        _launch(attend_rows_backward, ctx.heads, *ctx.saved_tensors, gradient.contiguous(), out)
        return out, None, None, None, None


def _launch(kernel: Any, heads: int, *tensors: Tensor) -> None:
    qkv, start_key, _, owner, *_ = tensors
    count, tokens, _ = qkv.shape
    head_size = start_key.shape[-1] // heads
    options = kernel_options(qkv.dtype, tokens, heads, head_size)
    with torch.cuda.device_of(qkv):
        kernel[(count * heads,)](*tensors, tokens, len(owner), head_size**-0.5, **options)


def kernel_options(
    dtype: torch.dtype, tokens: int, heads: int, head_size: int
) -> dict[str, int | bool]:
    """Return the constants of the kernels, and what Triton is to compile them with.

    Args:
        dtype: See `serves`.
        tokens: See `serves`.
        heads: See `serves`.
        head_size: See `serves`.
    """
    places = _block(1 + tokens)
    return {
        "heads": heads,
        "head_size": head_size,
        "places": places,
        "dims": _block(head_size),
        "num_warps": places * dtype.itemsize // 32,
        "num_stages": 1,
        "enable_fp_fusion": True,
    }


def _block(least: int) -> int:
    """Tensor cores need 16, Triton powers of 2."""
    return max(16, 1 << (least - 1).bit_length())
