"""The prompt engine: class features as a function of each image's own tuned prompt.

SEraser tunes a block P of n prompt tokens per image. `PromptEngine.text_features` maps P of shape
(B, n, d) to features (B, C, D) with gradients for P alone. It returns what the model's own
`encode_text` would return for every (image, class) pair, and saves what can be saved exactly
(numbers of "Exact savings" in arXiv 2403.00376's batched form):

* the towers are frozen, so no gradient of a weight is ever computed;
* the text tower is causal, so nothing behind a class's end-of-text is computed (the context is cut
  to the longest end-of-text + 1);
* positions 0..n do not depend on the class: they run once per image, and every class attends to
  their keys and values; start-of-text does not even depend on the image, so its keys and values
  are constants;
* in the last layer only end-of-text is computed; in the first, the classes' projections are
  constants.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn

from seraser_core.models.loading import ClipModel
from seraser_core.models.plain import PlainPromptEngine
from seraser_core.models.prompts import Prompts

_AGREEMENT = {torch.float32: 1e-3, torch.bfloat16: 5e-2}


class PromptEngine(Protocol):
    """What methods need to tune prompts.

    Attributes:
        initial_prompt: (n, d) float32; token plus positional embedding of positions 1..n.
        base_features: (C, D) float32, L2-normalised features of the untouched prompts.
    """

    initial_prompt: Tensor
    base_features: Tensor

    def text_features(self, prompt: Tensor) -> Tensor:
        """Class features under each image's prompt.

        Args:
            prompt: (B, n, d) float32.

        Returns:
            (B, C, D) float32, L2-normalised; differentiable in `prompt`.
        """
        ...


def build_engine(model: ClipModel, prompts: Prompts, context_tokens: int) -> PromptEngine:
    """The fastest engine that agrees with the model's own `encode_text`.

    The choice is made by comparing features of the untouched prompts, so a tower that is not
    causal, or does not pool at end-of-text, gets the plain engine.
    """
    plain = PlainPromptEngine(model, prompts, context_tokens)
    if not _has_causal_blocks(model.net):
        return plain
    fast = CausalPromptEngine(model, prompts, context_tokens)
    agreement = (fast.base_features - plain.base_features).abs().max()
    return fast if float(agreement) <= _AGREEMENT[model.dtype] else plain


class CausalPromptEngine:
    """Prompt engine of causal text towers made of ordinary residual attention blocks."""

    def __init__(self, model: ClipModel, prompts: Prompts, context_tokens: int) -> None:
        tower = text_tower(model.net)
        self._blocks: list[ResidualAttentionBlock] = list(tower.transformer.resblocks)
        self._ln_final: nn.Module = tower.ln_final
        self._projection: Tensor | nn.Linear | None = tower.text_projection
        self._dtype = model.dtype
        self._n = context_tokens
        self._heads = self._blocks[0].attn.num_heads
        with torch.no_grad():
            self._prepare(tower, prompts.tokens.to(model.device))

    def _prepare(self, tower: Any, tokens: Tensor) -> None:
        first = 1 + self._n
        eot = tokens.argmax(dim=-1)
        length = int(eot.max()) + 1
        tokens = tokens[:, :length]
        embedded = tower.token_embedding(tokens).to(self._dtype)
        embedded = embedded + tower.positional_embedding[:length].to(self._dtype)
        self.initial_prompt = embedded[0, 1:first].float().clone()
        self._suffix = embedded[:, first:]  # (C, S, d)
        self._eot = eot - first  # (C,)
        size = self._suffix.shape[1]
        causal = torch.ones(size, size, dtype=torch.bool, device=tokens.device).tril()
        context = torch.ones(size, first, dtype=torch.bool, device=tokens.device)
        self._suffix_mask = torch.cat([context, causal], dim=1)  # (S, 1 + n + S)
        # End-of-text sees the context and the suffix up to itself.
        self._eot_mask = self._suffix_mask[self._eot]  # (C, 1 + n + S)
        ones = torch.ones(self._n, first, dtype=torch.bool, device=tokens.device)
        self._prefix_mask = ones.tril(diagonal=1)  # (n, 1 + n)
        self._start = self._start_of_text(embedded[:1, :1])
        self._suffix_qkv = self._project(self._blocks[0], self._suffix)
        self.base_features = self.text_features(self.initial_prompt[None])[0]

    def _start_of_text(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys and values (1, 1, d) of start-of-text in every layer; it sees only itself."""
        found = []
        for block in self._blocks:
            _, key, value = self._project(block, x)
            found.append((key, value))
            x = self._finish(block, x, value)
        return found

    def text_features(self, prompt: Tensor) -> Tensor:
        """See `PromptEngine.text_features`."""
        batch = prompt.shape[0]
        classes = self._suffix.shape[0]
        prefix = prompt.to(self._dtype)  # (B, n, d)
        suffix = self._suffix.expand(batch, -1, -1, -1)  # (B, C, S, d)
        last = len(self._blocks) - 1
        for i, block in enumerate(self._blocks):
            start_key, start_value = self._start[i]
            pq, pk, pv = self._project(block, prefix)
            pk = torch.cat([start_key.expand(batch, -1, -1), pk], dim=1)  # (B, 1 + n, d)
            pv = torch.cat([start_value.expand(batch, -1, -1), pv], dim=1)
            if i == 0:
                sq, sk, sv = (part.expand(batch, -1, -1, -1) for part in self._suffix_qkv)
            else:
                sq, sk, sv = self._project(block, suffix)
            mask = self._suffix_mask
            if i == last:
                rows = torch.arange(classes, device=prompt.device)
                sq, suffix = sq[:, rows, self._eot, None], suffix[:, rows, self._eot, None]
                mask = self._eot_mask[:, None]
            attended = self._attend_suffix(sq, pk, pv, sk, sv, mask)
            suffix = self._finish(block, suffix, attended)
            if i < last:
                prefix = self._finish(block, prefix, self._attend_prefix(pq, pk, pv))
        return self._pool(suffix[:, :, 0])

    def _pool(self, x: Tensor) -> Tensor:
        x = self._ln_final(x)
        if isinstance(self._projection, nn.Linear):
            x = self._projection(x)
        elif self._projection is not None:
            x = x @ self._projection
        return F.normalize(x.float(), dim=-1)

    def _project(self, block: ResidualAttentionBlock, x: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values of all heads side by side, each shaped like `x`."""
        attention = block.attn
        qkv = F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
        return qkv.chunk(3, dim=-1)

    def _finish(self, block: ResidualAttentionBlock, x: Tensor, attended: Tensor) -> Tensor:
        """The rest of a residual block after attention."""
        x = x + block.ls_1(block.attn.out_proj(attended))
        return x + block.ls_2(block.mlp(block.ln_2(x)))

    def _attend_prefix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Causal attention of the prompt tokens to start-of-text and each other: (B, n, d)."""
        q, k, v = (t.unflatten(-1, (self._heads, -1)).transpose(1, 2) for t in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=self._prefix_mask)
        return out.transpose(1, 2).flatten(2)

    def _attend_suffix(
        self, q: Tensor, pk: Tensor, pv: Tensor, sk: Tensor, sv: Tensor, mask: Tensor
    ) -> Tensor:
        """Attention of the class tokens to the shared context and to their own class.

        Args:
            q: (B, C, Q, d) queries, Q = S, or 1 in the last layer.
            pk, pv: (B, 1 + n, d) keys and values that all classes share.
            sk, sv: (B, C, S, d) keys and values of each class.
            mask: Broadcastable to (C, Q, 1 + n + S); True where attention is allowed.

        Returns:
            (B, C, Q, d).
        """
        q, sk, sv = (t.unflatten(-1, (self._heads, -1)).transpose(2, 3) for t in (q, sk, sv))
        pk, pv = (t.unflatten(-1, (self._heads, -1)).transpose(1, 2) for t in (pk, pv))
        # q, sk, sv: (B, C, h, ., dh); pk, pv: (B, h, 1 + n, dh)
        classes, queries, width = q.shape[1], q.shape[3], q.shape[4]
        shared = q.transpose(1, 2).flatten(2, 3)  # (B, h, C * Q, dh)
        to_context = (shared @ pk.transpose(-1, -2)).unflatten(2, (classes, queries))
        to_class = (q @ sk.transpose(-1, -2)).transpose(1, 2)  # (B, h, C, Q, S)
        scores = torch.cat([to_context, to_class], dim=-1) / math.sqrt(width)
        weights = scores.masked_fill(~mask, float("-inf")).softmax(dim=-1)
        on_context, on_class = weights.split([pk.shape[2], sk.shape[3]], dim=-1)
        out = (on_context.flatten(2, 3) @ pv).unflatten(2, (classes, queries))
        out = out + (on_class.transpose(1, 2) @ sv).transpose(1, 2)  # (B, h, C, Q, dh)
        return out.permute(0, 2, 3, 1, 4).flatten(3)


def text_tower(net: Any) -> Any:
    """The module that holds the text transformer: `net` itself or its ``text``."""
    return net.text if hasattr(net, "text") else net


def _has_causal_blocks(net: Any) -> bool:
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
