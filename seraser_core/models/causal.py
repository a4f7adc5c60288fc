"""The prompt engine of causal text towers made of ordinary residual attention blocks.

All classes of an image run as one packed sequence: the n tuned tokens, then the own tokens of every
class up to its end-of-text, without padding. A mask lets each class see start-of-text, the tuned
tokens and itself only, which is what it sees in a sequence of its own. What is saved is exact:

* nothing behind end-of-text is computed, since the tower is causal;
* start-of-text and the tuned tokens run once per image instead of once per class, and the keys and
  values of start-of-text, which depend on nothing, once per model;
* the first layer's queries, keys and values of the classes' own tokens are constants, and in the
  last layer nothing but keys and values is computed of tokens other than end-of-text;
* no gradient of a weight is computed, and none flows to the classes' own embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import Prompts

_CHUNK_TOKENS = 256
"""Tokens of a packed sequence. In longer ones, masked attention between classes costs more than
another pass over the tuned tokens: T^2 against T."""


@dataclass(frozen=True)
class _Layer:
    """The frozen tensors of a residual attention block, as they are used."""

    qkv: tuple[Tensor, Tensor | None]
    out: tuple[Tensor, Tensor | None]
    fc: tuple[Tensor, Tensor | None]
    proj: tuple[Tensor, Tensor | None]
    norm_1: nn.LayerNorm
    norm_2: nn.LayerNorm
    scale_1: nn.Module
    scale_2: nn.Module
    activation: nn.Module


@dataclass(frozen=True)
class _Chunk:
    """Some classes as one packed sequence of T own tokens.

    Attributes:
        own: (1, T, d) embeddings of the classes' own tokens, positions added.
        qkv: (1, T, 3 d) their projections in the first layer.
        mask: (n + T, 1 + n + T) bool, True where attention is allowed.
        ends: (c,) places of the end-of-texts in the n + T positions.
    """

    own: Tensor
    qkv: Tensor
    mask: Tensor
    ends: Tensor


class CausalPromptEngine:
    """See the module and `seraser_core.models.engine.PromptEngine`.

    Args:
        model: The model.
        prompts: Class prompts.
        context_tokens: Tuned tokens n.
        chunk_tokens: Most own tokens of a packed sequence.
    """

    def __init__(
        self,
        model: ClipModel,
        prompts: Prompts,
        context_tokens: int,
        chunk_tokens: int = _CHUNK_TOKENS,
    ) -> None:
        tower = text_tower(model.net)
        self._layers = [_read_layer(block) for block in tower.transformer.resblocks]
        self._heads: int = tower.transformer.resblocks[0].attn.num_heads
        self._ln_final: nn.Module = tower.ln_final
        self._projection: Tensor | nn.Linear | None = tower.text_projection
        self._dtype, self._n = model.dtype, context_tokens
        self.recompute = False
        with torch.no_grad():
            self._prepare(tower, prompts.tokens.to(model.device), chunk_tokens)

    def _prepare(self, tower: Any, tokens: Tensor, chunk_tokens: int) -> None:
        first = 1 + self._n
        ends = tokens.argmax(dim=-1)
        length = int(ends.max()) + 1
        embedded = tower.token_embedding(tokens[:, :length]).to(self._dtype)
        positions = tower.positional_embedding[:length]
        # The sum in fp32: the optimiser's steps begin at it.
        self.initial_prompt = embedded[0, 1:first].float() + positions[1:first].float()
        embedded = embedded + positions.to(self._dtype)
        self._start = self._start_of_text(embedded[:1, :1])
        lengths = (ends + 1 - first).tolist()
        own = [row[first : first + size] for row, size in zip(embedded, lengths, strict=True)]
        self._chunks = [self._chunk(own[part]) for part in cut_classes(lengths, chunk_tokens)]
        self.base_features = self.text_features(self.initial_prompt[None])[0]

    def _start_of_text(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys and values (1, 1, d) of start-of-text in every layer; it sees only itself."""
        keys_values = []
        for layer in self._layers:
            _, key, value = F.linear(layer.norm_1(x), *layer.qkv).chunk(3, dim=-1)
            keys_values.append((key, value))
            x = self._finish(layer, x, value)
        return keys_values

    def _chunk(self, own: Sequence[Tensor]) -> _Chunk:
        n, device = self._n, own[0].device
        sizes = torch.tensor([len(part) for part in own], device=device)
        total = int(sizes.sum())
        # Class 0 stands for what all classes share.
        owner = torch.repeat_interleave(torch.arange(1, len(own) + 1, device=device), sizes)
        owner = torch.cat([owner.new_zeros(n), owner])
        seen = torch.cat([owner.new_zeros(1), owner])
        causal = torch.ones(n + total, 1 + n + total, dtype=torch.bool, device=device).tril(1)
        mask = causal & ((owner[:, None] == seen) | (seen == 0))
        packed = torch.cat(list(own))[None]
        qkv = F.linear(self._layers[0].norm_1(packed), *self._layers[0].qkv)
        return _Chunk(packed, qkv, mask, n - 1 + sizes.cumsum(0))

    @property
    def tokens(self) -> int:
        """Positions that are computed per image and step."""
        return sum(self._n + chunk.own.shape[1] for chunk in self._chunks)

    def bytes_per_image(self, recompute: bool) -> int:
        """Bytes that one image's graph keeps for the backward pass.

        Per token and layer: the inputs of two norms, queries, keys, values (the latter two once
        more beside start-of-text), the attended values, and the four widths before the activation.

        Args:
            recompute: Keep the graph of a chunk of classes only while it is in use.
        """
        width = self.initial_prompt.shape[-1]
        hidden = self._layers[0].fc[0].shape[0]
        kept = (2 + 3 + 2 + 1) * width + hidden
        tokens = [self._n + chunk.own.shape[1] for chunk in self._chunks]
        used = max(tokens) if recompute else sum(tokens)
        return used * len(self._layers) * kept * self._dtype.itemsize

    def text_features(self, prompt: Tensor) -> Tensor:
        """See `seraser_core.models.engine.PromptEngine.text_features`."""
        if self.recompute and torch.is_grad_enabled() and len(self._chunks) > 1:
            parts = [
                checkpoint(
                    self._features, prompt, chunk, use_reentrant=False, preserve_rng_state=False
                )
                for chunk in self._chunks
            ]
        else:
            parts = [self._features(prompt, chunk) for chunk in self._chunks]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _features(self, prompt: Tensor, chunk: _Chunk) -> Tensor:
        """Features (B, c, D) of the classes of one chunk."""
        batch = len(prompt)
        prompt = prompt.to(self._dtype)
        x = torch.cat([prompt, chunk.own.expand(batch, -1, -1)], dim=1)  # (B, n + T, d)
        first = self._layers[0]
        shared = F.linear(first.norm_1(prompt), *first.qkv)
        qkv = torch.cat([shared, chunk.qkv.expand(batch, -1, -1)], dim=1)
        for i, layer in enumerate(self._layers[:-1]):
            if i:
                qkv = F.linear(layer.norm_1(x), *layer.qkv)
            query, key, value = qkv.chunk(3, dim=-1)
            x = self._finish(layer, x, self._attend(i, query, key, value, chunk.mask))
        return self._last_layer(x, chunk)

    def _last_layer(self, x: Tensor, chunk: _Chunk) -> Tensor:
        last, width = self._layers[-1], x.shape[-1]
        (weight, bias), ends = last.qkv, chunk.ends
        normed = last.norm_1(x)
        bias_q, bias_kv = (None, None) if bias is None else (bias[:width], bias[width:])
        key, value = F.linear(normed, weight[width:], bias_kv).chunk(2, dim=-1)
        query = F.linear(normed.index_select(1, ends), weight[:width], bias_q)
        attended = self._attend(len(self._layers) - 1, query, key, value, chunk.mask[ends])
        x = self._ln_final(self._finish(last, x.index_select(1, ends), attended))
        if isinstance(self._projection, nn.Linear):
            x = self._projection(x)
        elif self._projection is not None:
            x = x @ self._projection
        return F.normalize(x.float(), dim=-1)

    def _attend(self, i: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """Attention in layer i to start-of-text and what `mask` allows: (B, Q, d)."""
        start_key, start_value = self._start[i]
        batch = len(q)
        k = torch.cat([start_key.expand(batch, -1, -1), k], dim=1)
        v = torch.cat([start_value.expand(batch, -1, -1), v], dim=1)
        q, k, v = (t.unflatten(-1, (self._heads, -1)).transpose(1, 2) for t in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return out.transpose(1, 2).flatten(2)

    def _finish(self, layer: _Layer, x: Tensor, attended: Tensor) -> Tensor:
        """The rest of a residual block after attention."""
        x = x + layer.scale_1(F.linear(attended, *layer.out))
        hidden = layer.activation(F.linear(layer.norm_2(x), *layer.fc))
        return x + layer.scale_2(F.linear(hidden, *layer.proj))


def cut_classes(lengths: Sequence[int], most: int) -> list[slice]:
    """Consecutive classes whose own tokens together are at most `most` (a longer one is alone)."""
    parts, start, used = [], 0, 0
    for i, length in enumerate(lengths):
        if i > start and used + length > most:
            parts.append(slice(start, i))
            start, used = i, 0
        used += length
    return [*parts, slice(start, len(lengths))]


def text_tower(net: Any) -> Any:
    """The module that holds the text transformer: `net` itself or its ``text``."""
    return net.text if hasattr(net, "text") else net


def has_causal_blocks(net: Any) -> bool:
    """Return whether `CausalPromptEngine` may be able to run the text tower."""
    tower = text_tower(net)
    blocks = getattr(getattr(tower, "transformer", None), "resblocks", None)
    pool = getattr(tower, "pool_type", None) or getattr(tower, "text_pool_type", None)
    return (
        blocks is not None
        and all(type(b) is ResidualAttentionBlock for b in blocks)
        and all(b.attn.in_proj_weight is not None for b in blocks)
        and getattr(tower, "attn_mask", None) is not None
        and getattr(tower, "cls_emb", None) is None
        and pool == "argmax"
    )


def _read_layer(block: ResidualAttentionBlock) -> _Layer:
    attention, mlp = block.attn, block.mlp
    return _Layer(
        qkv=(attention.in_proj_weight, attention.in_proj_bias),
        out=(attention.out_proj.weight, attention.out_proj.bias),
        fc=(mlp.c_fc.weight, mlp.c_fc.bias),
        proj=(mlp.c_proj.weight, mlp.c_proj.bias),
        norm_1=block.ln_1,
        norm_2=block.ln_2,
        scale_1=block.ls_1,
        scale_2=block.ls_2,
        activation=mlp.gelu,
    )
