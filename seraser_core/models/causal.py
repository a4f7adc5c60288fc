"""The prompt engine of causal text towers made of ordinary residual attention blocks.

Classes are packed into rows of equal length: the n tuned tokens, then the own tokens of some
classes, each up to its end-of-text. The rows of all images are one batch. A mask lets each class
see start-of-text, the tuned tokens and itself only, which is what it sees in a sequence of its own.
What is saved is exact:

* nothing behind end-of-text is computed, since the tower is causal;
* the tuned tokens run once per row instead of once per class, and start-of-text, which depends on
  nothing, once per model;
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
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seraser_core.models.blocks import PASS_POSITIONS, are_blocks
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.compiled import Finish, compiled_finish
from seraser_core.models.memory import memory_budget
from seraser_core.models.prompts import Prompts
from seraser_core.models.row_attention import attend_rows, serves
from seraser_core.models.rows import pack

_ROW_KEYS = 64
"""Keys of a row, start-of-text included. In longer rows, masked attention between classes costs
more than the tuned tokens of another row; and its backward pass on a GPU is repeatable up to 64."""
_ALIGNED = 8
"""Kernels want rows of a bias to begin at multiples of as many numbers."""


@dataclass(frozen=True)
class _Pass:
    """Some rows, as they go through the layers together: r rows of T places for own tokens.

    Attributes:
        own: (r, T, d) embeddings of the classes' own tokens, positions added.
        qkv: (r, T, 3 d) their projections in the first layer.
        owner: (r, n + T) int32, 0 where all classes of a row see it, else 1, 2, ... for each of its
            classes, -1 where a place is not used.
        bias: (r, 1, n + T, 1 + n + T) 0 where attention is allowed, else -inf.
        ends: (c,) places of their classes' end-of-texts in the r (n + T) positions.
        queries: (r E) the same places row by row, the last one repeated where a row has less than
            E classes.
        last_bias: (r, 1, E, 1 + n + T) what `bias` says of `queries`.
        found: (c,) places of `ends` in `queries`.
    """

    own: Tensor
    qkv: Tensor
    owner: Tensor
    bias: Tensor
    ends: Tensor
    queries: Tensor
    last_bias: Tensor
    found: Tensor


class CausalPromptEngine:
    """See the module and `seraser_core.models.engine.PromptEngine`.

    Args:
        model: The model.
        prompts: Class prompts.
        context_tokens: Tuned tokens n.
        row_keys: Keys of a row; more only where a class is longer.
        pass_positions: Positions of a pass; by default what is fastest on the model's device.
        fused: Use kernels made by Triton and by torch.compile, where they work.
    """

    def __init__(
        self,
        model: ClipModel,
        prompts: Prompts,
        context_tokens: int,
        row_keys: int = _ROW_KEYS,
        pass_positions: int | None = None,
        fused: bool = False,
    ) -> None:
        tower = model.text_tower
        self._blocks = model.text_blocks
        self._projection: Tensor | nn.Linear | None = tower.text_projection
        self._dtype, self._n = model.dtype, context_tokens
        self._pass_positions = pass_positions or PASS_POSITIONS[model.device.type]
        self.memory = memory_budget(model.device)
        self._passes_by_rows: dict[int, list[_Pass]] = {}
        with torch.no_grad():
            self._prepare(tower, prompts.tokens.to(model.device), row_keys)
            self._choose_kernels(fused)
            self.base_features = self.text_features(self.initial_prompt[None])[0]

    def _prepare(self, tower: Any, tokens: Tensor, row_keys: int) -> None:
        first = 1 + self._n
        ends = tokens.argmax(dim=-1)
        length = int(ends.max()) + 1
        embedded = tower.token_embedding(tokens[:, :length]).to(self._dtype)
        positions = tower.positional_embedding[:length]
        # The sum in fp32: the optimiser's steps begin at it.
        self.initial_prompt = embedded[0, 1:first].float() + positions[1:first].float()
        embedded = embedded + positions.to(self._dtype)
        self._start = self._start_of_text(embedded[:1, :1])
        sizes = (ends + 1 - first).tolist()
        self._rows = pack(sizes, row_keys - first)
        places = max(sum(sizes[one] for one in row) for row in self._rows)
        own = embedded.new_zeros(len(self._rows), places, embedded.shape[-1])
        owner = torch.full((len(self._rows), self._n + places), -1, dtype=torch.int32)
        owner[:, : self._n] = 0
        self._ends: list[list[int]] = []
        for place, row in enumerate(self._rows):
            parts = [embedded[one, first : first + sizes[one]] for one in row]
            own[place, : sum(map(len, parts))] = torch.cat(parts)
            counts = torch.tensor([sizes[one] for one in row])
            numbers = torch.repeat_interleave(torch.arange(1, len(row) + 1), counts)
            owner[place, self._n : self._n + len(numbers)] = numbers
            self._ends.append((self._n - 1 + counts.cumsum(0)).tolist())
        self._own, self._owner = own, owner.to(own.device)
        self._own_qkv = self._blocks.layers[0].qkv(self._blocks.norm_first(own))
        order = torch.tensor([one for row in self._rows for one in row]).argsort()
        self._order = order.to(own.device)

    def _choose_kernels(self, fused: bool) -> None:
        self._finish: Finish = self._blocks.finish
        self._by_triton = False
        if fused:
            heads, width = self._blocks.heads, self._own.shape[-1]
            shape = self._owner.shape[1], heads, width // heads
            self._by_triton = serves(self._own.device, self._dtype, *shape)
            self._finish = compiled_finish(self._blocks)

    def _start_of_text(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys and values (1, 1, d) of start-of-text in every layer; it sees only itself."""
        keys_values, normed = [], self._blocks.norm_first(x)
        for block in self._blocks.layers:
            _, key, value = block.qkv(normed).chunk(3, dim=-1)
            keys_values.append((key, value))
            x, normed = self._blocks.finish(block, x, value)
        return keys_values

    @property
    def tokens(self) -> int:
        """Positions that are computed per image and step."""
        return self._owner.numel()

    def bytes_per_image(self, recompute: bool) -> int:
        """Bytes that one image's graph keeps for the backward pass.

        Per token and layer: the inputs of two norms, queries, keys, values (the latter two once
        more beside start-of-text), the attended values, and the four widths before the activation.

        Args:
            recompute: Keep no more than the graph of one row at a time.
        """
        kept = (2 + 3 + 2 + 1) * self.initial_prompt.shape[-1] + self._blocks.hidden
        positions = self._owner.shape[1] if recompute else self.tokens
        return positions * len(self._blocks.layers) * kept * self._dtype.itemsize

    def text_features(self, prompt: Tensor) -> Tensor:
        """See `seraser_core.models.engine.PromptEngine.text_features`."""
        too_large = len(prompt) * self.bytes_per_image(False) > self.memory
        twice = too_large and torch.is_grad_enabled()
        passes = self._passes(self._rows_at_once(len(prompt), too_large))
        if twice and len(passes) > 1:
            parts = [
                checkpoint(
                    self._features, prompt, each, use_reentrant=False, preserve_rng_state=False
                )
                for each in passes
            ]
        else:
            parts = [self._features(prompt, each) for each in passes]
        return torch.cat(parts, dim=1).index_select(1, self._order)

    def _rows_at_once(self, images: int, too_large: bool) -> int:
        """Rows of each of so many images in a pass: passes of about one size."""
        rows, places = self._owner.shape
        fitting = self._pass_positions // (images * places)
        if too_large:
            fitting = min(fitting, self.memory // (images * self.bytes_per_image(True)))
        return -(-rows // -(-rows // max(1, fitting)))

    def _passes(self, rows: int) -> list[_Pass]:
        if rows not in self._passes_by_rows:
            starts = range(0, len(self._rows), rows)
            self._passes_by_rows[rows] = [self._pass(slice(at, at + rows)) for at in starts]
        return self._passes_by_rows[rows]

    def _pass(self, rows: slice) -> _Pass:
        owner, length = self._owner[rows], self._owner.shape[1]
        seen = F.pad(owner, (1, 0))  # start-of-text, of class 0
        causal = torch.ones(length, 1 + length, dtype=torch.bool, device=owner.device).tril(1)
        allowed = causal & ((owner[:, :, None] == seen[:, None]) | (seen[:, None] == 0))
        bias = _aligned(self._own.new_zeros(len(owner), 1, length, 1 + length))
        bias.masked_fill_(~allowed[:, None], float("-inf"))
        ends = self._ends[rows]
        most = max(map(len, ends))
        padded = torch.tensor([row + row[-1:] * (most - len(row)) for row in ends]).to(bias.device)
        found = [at * most + i for at, row in enumerate(ends) for i in range(len(row))]
        places = torch.tensor(found).to(bias.device)
        at = torch.arange(len(ends), device=bias.device)[:, None]
        queries = (at * length + padded).flatten()
        last_bias = _aligned(bias[at, 0, padded][:, None])
        return _Pass(
            own=self._own[rows],
            qkv=self._own_qkv[rows],
            owner=owner,
            bias=bias,
            ends=queries[places],
            queries=queries,
            last_bias=last_bias,
            found=places,
        )

    def _features(self, prompt: Tensor, rows: _Pass) -> Tensor:
        """Features (B, c, D) of the classes of some rows."""
        batch, blocks = len(prompt), self._blocks
        prompt = prompt.to(self._dtype)
        shared = blocks.layers[0].qkv(blocks.norm_first(prompt))
        x, qkv = _join(prompt, rows.own), _join(shared, rows.qkv)
        # Triton's kernel makes its mask itself.
        bias = rows.bias if self._by_triton else _repeat(rows.bias, batch)
        for i, block in enumerate(blocks.layers[:-1]):
            x, normed = self._finish(block, x, self._attend_all(i, qkv, rows, bias))
            if i + 2 < len(blocks.layers):
                qkv = blocks.layers[i + 1].qkv(normed)
        return self._last_layer(x, normed, rows)

    def _last_layer(self, x: Tensor, normed: Tensor, rows: _Pass) -> Tensor:
        blocks, width = self._blocks, x.shape[-1]
        batch = len(x) // len(rows.own)
        key, value = blocks.last_key_value(normed).chunk(2, dim=-1)
        normed = normed.view(batch, -1, width).index_select(1, rows.queries)
        query = blocks.last_query(normed).view(len(x), -1, width)
        attended = self._attend(-1, query, key, value, _repeat(rows.last_bias, batch))
        attended = attended.view(batch, -1, width).index_select(1, rows.found)
        x = x.view(batch, -1, width).index_select(1, rows.ends)
        return self._project(blocks.finish(blocks.layers[-1], x, attended)[1])

    def _project(self, x: Tensor) -> Tensor:
        if isinstance(self._projection, nn.Linear):
            x = self._projection(x)
        elif self._projection is not None:
            x = x @ self._projection
        return F.normalize(x.float(), dim=-1)

    def _attend_all(self, i: int, qkv: Tensor, rows: _Pass, bias: Tensor) -> Tensor:
        """Attention of all positions in layer i: (N, n + T, 3 d) -> (N, n + T, d)."""
        if self._by_triton:
            return attend_rows(qkv, *self._start[i], rows.owner, self._blocks.heads)
        query, key, value = qkv.chunk(3, dim=-1)
        return self._attend(i, query, key, value, bias)

    def _attend(self, i: int, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """Attention in layer i to start-of-text and what `bias` allows: (N, Q, d)."""
        start_key, start_value = self._start[i]
        key = torch.cat([start_key.expand(len(key), -1, -1), key], dim=1)
        value = torch.cat([start_value.expand(len(value), -1, -1), value], dim=1)
        query, key, value = (
            each.unflatten(-1, (self._blocks.heads, -1)).transpose(1, 2)
            for each in (query, key, value)
        )
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return out.transpose(1, 2).flatten(2)


def _join(tuned: Tensor, own: Tensor) -> Tensor:
    """Rows of every image, one after the other: (B, n, w) and (r, T, w) -> (B r, n + T, w)."""
    tuned = tuned[:, None].expand(-1, len(own), -1, -1)
    return torch.cat([tuned, own.expand(len(tuned), -1, -1, -1)], dim=2).flatten(0, 1)


def _aligned(bias: Tensor) -> Tensor:
    """A copy of a bias whose rows begin where kernels want them."""
    keys = bias.shape[-1]
    return F.pad(bias, (0, -keys % _ALIGNED))[..., :keys]


def _repeat(bias: Tensor, batch: int) -> Tensor:
    """The biases of r rows for every image, with their alignment: (B r, 1, Q, K)."""
    whole = bias.as_strided((*bias.shape[:3], bias.stride(2)), bias.stride())
    return whole.repeat(batch, 1, 1, 1)[..., : bias.shape[-1]]


def has_causal_blocks(tower: Any) -> bool:
    """Return whether `CausalPromptEngine` may be able to run this text tower."""
    blocks: Sequence[Any] | None = getattr(getattr(tower, "transformer", None), "resblocks", None)
    pool = getattr(tower, "pool_type", None) or getattr(tower, "text_pool_type", None)
    return (
        blocks is not None
        and len(blocks) > 1
        and are_blocks(blocks, getattr(tower, "ln_final", None))
        and getattr(tower, "attn_mask", None) is not None
        and getattr(tower, "cls_emb", None) is None
        and pool == "argmax"
    )
