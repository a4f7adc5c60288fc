"""Image features of open_clip's vision transformers, without what no feature depends on."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from open_clip.transformer import VisionTransformer
from torch import Tensor, cat

from seraser_core.models.blocks import PASS_POSITIONS, are_blocks, read_blocks


class ImageTower:
    """A vision transformer whose feature is made of the class token.

    Of all other tokens the last layer computes keys and values alone: a twelfth less work in twelve
    layers.

    Args:
        tower: One of which `serves` is true, on its device and in its number type.
    """

    def __init__(self, tower: Any) -> None:
        self._tower = tower
        self._blocks = read_blocks(tower.transformer.resblocks, tower.ln_post)
        place = tower.positional_embedding
        self._at_once = max(1, PASS_POSITIONS[place.device.type] // len(place))

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return what the tower returns.

        Args:
            pictures: (N, 3, H, W).

        Returns:
            (N, D) features.
        """
        passes = -(-len(pictures) // self._at_once)
        return cat([self._features(part) for part in pictures.tensor_split(passes)])

    def _features(self, pictures: Tensor) -> Tensor:
        blocks = self._blocks
        x = self._tower._embeds(pictures)
        normed = blocks.norm_first(x)
        for block in blocks.layers[:-1]:
            attended = self._attend(*block.qkv(normed).chunk(3, dim=-1))
            x, normed = blocks.finish(block, x, attended)
        query = blocks.last_query(normed[:, :1])
        attended = self._attend(query, *blocks.last_key_value(normed).chunk(2, dim=-1))
        _, normed = blocks.finish(blocks.layers[-1], x[:, :1], attended)
        pooled = normed[:, 0]
        return pooled if self._tower.proj is None else pooled @ self._tower.proj

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query, key, value = (
            each.unflatten(-1, (self._blocks.heads, -1)).transpose(1, 2)
            for each in (query, key, value)
        )
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def serves(tower: Any) -> bool:
    """Return whether `ImageTower` computes what `tower` does."""
    return (
        type(tower) is VisionTransformer
        and tower.attn_pool is None
        and tower.pool_type == "tok"
        and not tower.output_tokens
        and are_blocks(tower.transformer.resblocks, tower.ln_post)
    )
