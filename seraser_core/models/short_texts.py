"""Text features of many texts that are much shorter than the context."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from seraser_core.models.causal import has_causal_blocks
from seraser_core.models.clip_model import ClipModel

_TEXTS_AT_ONCE = 256


def encode_short_texts(model: ClipModel, tokens: Tensor) -> Tensor:
    """Return `model.encode_text` without computing the padding, where that is exact.

    A causal tower that pools at end-of-text never sees what is behind it.

    Args:
        model: The model.
        tokens: (N, context_length) token ids.

    Returns:
        (N, D) float32, L2-normalised.
    """
    if not len(tokens) or not has_causal_blocks(model.text_tower):
        return model.encode_text(tokens)
    lengths = (tokens != tokens[:, -1:]).sum(1)
    order = lengths.argsort()
    features = torch.cat([_encode(model, tokens[part]) for part in order.split(_TEXTS_AT_ONCE)])
    return features[order.argsort()]


def _encode(model: ClipModel, tokens: Tensor) -> Tensor:
    """Features of texts of about one length."""
    length = int((tokens != tokens[:, -1:]).sum(1).max()) + 1
    if length >= tokens.shape[1]:
        return model.encode_text(tokens)
    return replace(model, net=_cut(model, length)).encode_text(tokens[:, :length])


def _cut(model: ClipModel, length: int) -> Any:
    """A copy of the model's net whose text tower has a shorter context; all else is shared."""
    net, tower = model.net, model.text_tower
    cut = copy.copy(tower)
    positions = nn.Parameter(tower.positional_embedding[:length], requires_grad=False)
    cut._parameters = {**tower._parameters, "positional_embedding": positions}
    cut._buffers = {**tower._buffers, "attn_mask": tower.attn_mask[:length, :length]}
    if tower is net:
        return cut
    changed = copy.copy(net)
    changed._modules = {**net._modules, "text": cut}
    return changed
