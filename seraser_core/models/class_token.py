"""Image features of open_clip's vision transformers, without what no feature depends on."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor


def reads_class_token_alone(tower: Any) -> bool:
    """Return whether the feature is made of the class token, so that `encode` may be used."""
    if type(tower) is not VisionTransformer or tower.attn_pool is not None:
        return False
    last = tower.transformer.resblocks[-1]
    return (
        tower.pool_type == "tok"
        and not tower.output_tokens
        and type(last) is ResidualAttentionBlock
        and last.attn.in_proj_weight is not None
        and last.attn.batch_first
    )


def encode(tower: Any, pictures: Tensor) -> Tensor:
    """Return what `tower` returns, having computed only the class token behind the last attention.

    Of all other tokens the last layer computes keys and values alone: a twelfth less work in twelve
    layers.

    Args:
        tower: One of which `reads_class_token_alone` is true.
        pictures: (N, 3, H, W).

    Returns:
        (N, D) features.
    """
    *blocks, last = tower.transformer.resblocks
    x = tower._embeds(pictures)
    for block in blocks:
        x = block(x)
    pooled, _ = tower._pool(_class_token(last, x))
    features: Tensor = pooled if tower.proj is None else pooled @ tower.proj
    return features


def _class_token(block: ResidualAttentionBlock, x: Tensor) -> Tensor:
    """The first of the tokens that `block` makes of x, (N, T, d): (N, 1, d)."""
    attention, width = block.attn, x.shape[-1]
    weights = attention.in_proj_weight.split([width, 2 * width])
    biases: Any = (None, None)
    if attention.in_proj_bias is not None:
        biases = attention.in_proj_bias.split([width, 2 * width])
    normed = block.ln_1(x)
    query = F.linear(normed[:, :1], weights[0], biases[0])
    key, value = F.linear(normed, weights[1], biases[1]).chunk(2, dim=-1)
    query, key, value = (
        each.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for each in (query, key, value)
    )
    attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    x = x[:, :1] + block.ls_1(attention.out_proj(attended))
    token: Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
    return token
