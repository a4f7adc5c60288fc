"""The frozen residual attention blocks of open_clip's transformers, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn

from seraser_core.models.linear import Activation, Linear
from seraser_core.models.memory import packing_budget

PASS_POSITIONS = {"cpu": 1536, "cuda": 131072}
"""Positions that go through the layers together. Larger ones fall out of a processor's cache; on a
GPU, one pass is fastest."""

Affine = tuple[Tensor, Tensor | None]
"""The weight of a norm and its bias."""


class Tail(NamedTuple):
    """The tensors of a block behind its attention, see `finish`.

    Attributes:
        out: The projection of the attended values.
        norm: The norm before the MLP.
        fc: The first layer of the MLP.
        proj: Its second layer.
        next_norm: The norm that follows the block.
        scale_1: Factor (d,) of what attention adds; None for 1.
        scale_2: Of what the MLP adds.
    """

    out: Linear
    norm: Affine
    fc: Linear
    proj: Linear
    next_norm: Affine
    scale_1: Tensor | None
    scale_2: Tensor | None


class Block(NamedTuple):
    """A block without the norm before its attention, and with the norm that follows it.

    Attributes:
        qkv: The projections to queries, keys and values.
        tail: The rest.
    """

    qkv: Linear
    tail: Tail


@dataclass(frozen=True)
class Blocks:
    """The blocks of a tower in order, and what they share.

    Attributes:
        first_norm: The norm before the first block.
        layers: The blocks; the norm that follows the last one is the tower's own.
        last_query: The last block's projection to queries.
        last_key_value: Its projection to keys and values.
        eps: Of all norms.
        activation: Of all MLPs.
        hidden: Width of the MLPs.
        heads: Heads of attention.
    """

    first_norm: Affine
    layers: list[Block]
    last_query: Linear
    last_key_value: Linear
    eps: float
    activation: Activation
    hidden: int
    heads: int

    def norm_first(self, x: Tensor) -> Tensor:
        """The norm before the first block, of (..., d)."""
        return F.layer_norm(x, x.shape[-1:], *self.first_norm, self.eps)

    def finish(self, block: Block, x: Tensor, attended: Tensor) -> tuple[Tensor, Tensor]:
        """See `finish`."""
        return finish(x, attended, block.tail, self.activation, self.eps)


def finish(
    x: Tensor, attended: Tensor, tail: Tail, activation: Activation, eps: float
) -> tuple[Tensor, Tensor]:
    """Compute the rest of a block after attention, and the norm that follows.

    Args:
        x: (..., d) input of the block.
        attended: (..., d) attended values, not projected yet.
        tail: The block's tensors.
        activation: The MLP's.
        eps: The norms'.

    Returns:
        The output of the block and its norm, (..., d) each.
    """
    width = x.shape[-1:]
    x = _add(x, attended, tail.out, tail.scale_1)
    hidden = tail.fc.activated(F.layer_norm(x, width, *tail.norm, eps), activation)
    x = _add(x, hidden, tail.proj, tail.scale_2)
    return x, F.layer_norm(x, width, *tail.next_norm, eps)


def _add(x: Tensor, to_map: Tensor, layer: Linear, scale: Tensor | None) -> Tensor:
    return layer.add_to(x, to_map) if scale is None else x + layer(to_map) * scale


def are_blocks(blocks: Sequence[Any], last_norm: Any) -> bool:
    """Return whether `read_blocks` knows these modules."""
    if not all(type(block) is ResidualAttentionBlock for block in blocks):
        return False
    norms = [last_norm, *(norm for b in blocks for norm in (b.ln_1, b.ln_2))]
    return (
        all(block.attn.in_proj_weight is not None for block in blocks)
        and all(isinstance(norm, nn.LayerNorm) and norm.weight is not None for norm in norms)
        and len({norm.eps for norm in norms}) == 1
        and len({repr(block.mlp.gelu) for block in blocks}) == 1
    )


def read_blocks(blocks: Sequence[Any], last_norm: Any) -> Blocks:
    """Read the blocks of a tower, and the norm behind them."""
    weights = sum(each.nbytes for block in blocks for each in block.parameters())
    packed = weights <= packing_budget()
    layers = []
    for block, following in zip(blocks, [*(b.ln_1 for b in blocks[1:]), last_norm], strict=True):
        attention, mlp = block.attn, block.mlp
        tail = Tail(
            out=_linear(attention.out_proj, packed),
            norm=_affine(block.ln_2),
            fc=_linear(mlp.c_fc, packed),
            proj=_linear(mlp.c_proj, packed),
            next_norm=_affine(following),
            scale_1=getattr(block.ls_1, "gamma", None),
            scale_2=getattr(block.ls_2, "gamma", None),
        )
        qkv = Linear(attention.in_proj_weight, attention.in_proj_bias, packed)
        layers.append(Block(qkv, tail))
    first, width = blocks[0], last_norm.normalized_shape[0]
    return Blocks(
        first_norm=_affine(first.ln_1),
        layers=layers,
        last_query=layers[-1].qkv.part(slice(width)),
        last_key_value=layers[-1].qkv.part(slice(width, None)),
        eps=last_norm.eps,
        activation=first.mlp.gelu,
        hidden=first.mlp.c_fc.out_features,
        heads=first.attn.num_heads,
    )


def _affine(module: Any) -> Affine:
    return module.weight, module.bias


def _linear(module: Any, packed: bool) -> Linear:
    return Linear(module.weight, module.bias, packed)
