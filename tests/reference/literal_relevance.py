"""Relevance masks, one picture at a time, by hooks on an untouched forward pass."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import normalize


def literal_evidence(net, picture, class_tokens, neutral_tokens):
    """Evidence of every patch of one normalised picture (3, H, W): (h, w)."""
    seen = []
    hooks = [
        block.register_forward_pre_hook(lambda _block, inputs: seen.append(inputs[0]))
        for block in net.visual.transformer.resblocks
    ]
    picture = picture[None].clone().requires_grad_()
    feature = normalize(net.encode_image(picture), dim=-1)[0]
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        classes = normalize(net.encode_text(class_tokens), dim=-1)
        neutral = normalize(net.encode_text(neutral_tokens), dim=-1)[0]
    target = sum(feature @ one for one in classes) / len(classes) - feature @ neutral
    total = 0
    for tokens in seen:
        (gradient,) = torch.autograd.grad(target, tokens, retain_graph=True)
        patches = [
            float((a * g).abs().sum()) for a, g in zip(tokens[0].detach(), gradient[0], strict=True)
        ]
        patches = np.asarray(patches[1:])
        total = total + patches / patches.sum()
    return total.reshape(net.visual.grid_size)


def literal_otsu(values, levels=256):
    """Mask of what is above the level that leaves the least variance within both parts."""
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros(values.shape, dtype=bool)
    bins = np.minimum(((values - low) / (high - low) * levels).astype(int), levels - 1)
    best, least = None, None
    for level in range(levels - 1):
        parts = bins[bins <= level], bins[bins > level]
        if not len(parts[1]):
            break
        within = sum(len(part) * part.var() for part in parts)
        if least is None or within < least - 1e-9 * max(1.0, least):
            best, least = level, within
    return bins > best
