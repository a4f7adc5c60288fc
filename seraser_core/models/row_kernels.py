"""Triton kernels of `seraser_core.models.row_attention`; importing them needs Triton.

A program computes one head of one row, all places of which are one block: place 0 is start-of-text,
place p > 0 is position p - 1 of the row. Places behind the row and dimensions behind the head's are
zeros, which nothing of the row sees and which are not written.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["tokens", "rows"])
def attend_rows_forward(
    qkv: tl.tensor,
    start_key: tl.tensor,
    start_value: tl.tensor,
    owner: tl.tensor,
    out: tl.tensor,
    tokens: tl.tensor,
    rows: tl.tensor,
    scale: tl.tensor,
    heads: tl.constexpr,
    head_size: tl.constexpr,
    places: tl.constexpr,
    dims: tl.constexpr,
) -> None:
    """Write the attended values ``out`` (N, T, d) of ``qkv`` (N, T, 3 d)."""
    width: tl.constexpr = heads * head_size
    row, position, column, inside = _block(tokens, heads, head_size, places, dims)
    at = qkv + position * (3 * width) + column
    query = tl.load(at, mask=inside, other=0.0)
    key = _with_start(start_key + column, at + width, inside, head_size)
    value = _with_start(start_value + column, at + 2 * width, inside, head_size)
    share = _shares(query, key, scale, owner + row % rows * tokens, tokens)
    attended = tl.dot(share.to(value.dtype), value, input_precision="ieee")
    tl.store(out + position * width + column, attended.to(value.dtype), mask=inside)


@triton.jit(do_not_specialize=["tokens", "rows"])
def attend_rows_backward(
    qkv: tl.tensor,
    start_key: tl.tensor,
    start_value: tl.tensor,
    owner: tl.tensor,
    gradient: tl.tensor,
    out: tl.tensor,
    tokens: tl.tensor,
    rows: tl.tensor,
    scale: tl.tensor,
    heads: tl.constexpr,
    head_size: tl.constexpr,
    places: tl.constexpr,
    dims: tl.constexpr,
) -> None:
    """Write the gradient ``out`` (N, T, 3 d) of ``qkv``, given that of the attended values."""
    width: tl.constexpr = heads * head_size
    row, position, column, inside = _block(tokens, heads, head_size, places, dims)
    at = qkv + position * (3 * width) + column
    query = tl.load(at, mask=inside, other=0.0)
    key = _with_start(start_key + column, at + width, inside, head_size)
    value = _with_start(start_value + column, at + 2 * width, inside, head_size)
    share = _shares(query, key, scale, owner + row % rows * tokens, tokens)

    given = tl.load(gradient + position * width + column, mask=inside, other=0.0)
    to = out + position * (3 * width) + column
    d_value = tl.dot(tl.trans(share.to(given.dtype)), given, input_precision="ieee")
    tl.store(to + 2 * width, d_value.to(given.dtype), mask=inside)
    d_share = tl.dot(given, tl.trans(value), input_precision="ieee")
    mean = tl.sum(share * d_share, axis=1)
    d_score = (share * (d_share - mean[:, None]) * scale).to(given.dtype)
    d_query = tl.dot(d_score, key, input_precision="ieee")
    tl.store(to, d_query.to(given.dtype), mask=inside)
    d_key = tl.dot(tl.trans(d_score), query, input_precision="ieee")
    tl.store(to + width, d_key.to(given.dtype), mask=inside)


@triton.jit
def _block(
    tokens: tl.tensor,
    heads: tl.constexpr,
    head_size: tl.constexpr,
    places: tl.constexpr,
    dims: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """The program's row, its places among all positions, its columns, and which are the row's."""
    place, dim = tl.arange(0, places), tl.arange(0, dims)
    row = tl.program_id(0) // heads
    position = row.to(tl.int64) * tokens + place - 1
    column = tl.program_id(0) % heads * head_size + dim
    inside = ((place > 0) & (place <= tokens))[:, None] & (dim < head_size)[None, :]
    return row, position[:, None], column[None, :], inside


@triton.jit
def _with_start(
    start: tl.tensor, at: tl.tensor, inside: tl.tensor, head_size: tl.constexpr
) -> tl.tensor:
    """Keys or values (places, dims), those of start-of-text first."""
    place, dim = tl.arange(0, inside.shape[0]), tl.arange(0, inside.shape[1])
    first = tl.load(start, mask=(dim < head_size)[None, :], other=0.0)
    return tl.where((place == 0)[:, None], first, tl.load(at, mask=inside, other=0.0))


@triton.jit
def _shares(
    query: tl.tensor, key: tl.tensor, scale: tl.tensor, owner: tl.tensor, tokens: tl.tensor
) -> tl.tensor:
    """Softmax (queries, keys) over what queries see; start-of-text is as the tuned tokens are."""
    place = tl.arange(0, query.shape[0])
    whose = tl.load(owner + place - 1, mask=(place > 0) & (place <= tokens), other=0)
    shared_or_own = (whose[None, :] == 0) | (whose[None, :] == whose[:, None])
    seen = shared_or_own & (place[None, :] <= place[:, None])
    score = tl.dot(query, tl.trans(key), input_precision="ieee") * scale
    score = tl.where(seen, score, float("-inf"))
    share = tl.exp(score - tl.max(score, axis=1)[:, None])
    return share / tl.sum(share, axis=1)[:, None]
