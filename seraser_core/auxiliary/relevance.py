"""Foreground masks from a CLIP model's own patch evidence, without a second model.

The evidence of a patch is how much the cosine with the class prompts, less that with a neutral
prompt, hangs on it: |gradient x activation|, summed over the dimensions of the patch's token, in
every layer of the image tower; layers count alike. Where it is high is the foreground.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from open_clip.transformer import VisionTransformer
from torch import Tensor

from seraser_core.config.auxiliary import RelevanceOptions
from seraser_core.errors import ConfigError
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import tokenise

_BINS = 256
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}


class Relevance:
    """Masks of pictures as the model sees them.

    Args:
        options: The neutral prompt and the threshold.
        model: Its image tower must pass `check_relevance`.
        class_features: (C, D) features of the class prompts.
    """

    def __init__(self, options: RelevanceOptions, model: ClipModel, class_features: Tensor) -> None:
        field = "relevance.neutral"
        tokens = tokenise([options.neutral], model.tokenizer, model.context_length, field)
        neutral = model.encode_text(tokens)[0]
        self._direction = class_features.mean(0) - neutral
        self._model, self._threshold = model, options.threshold

    def masks(self, pixels: Tensor) -> Tensor:
        """Foreground of each picture.

        Args:
            pixels: (B, 3, H, W) uint8 on the model's device, see `Preprocessing.resize`.

        Returns:
            (B, H, W) bool, True on the foreground.
        """
        patches = patch_evidence(self._model, pixels, self._direction)
        maps = F.interpolate(patches[:, None], pixels.shape[-2:], mode="bilinear")[:, 0]
        return above_threshold(maps, self._threshold)


def check_relevance(model: ClipModel, field: str) -> None:
    """Refuse a model whose patches cannot be told apart.

    Args:
        model: The model.
        field: Option that asks for relevance, for the message.

    Raises:
        ConfigError: Its image tower is not a vision transformer of open_clip.
    """
    tower = model.net.visual
    if isinstance(tower, VisionTransformer):
        height, width = model.preprocessing.size
        picture = torch.zeros(1, 3, height, width, dtype=model.dtype, device=model.device)
        with torch.no_grad():
            ours = F.normalize(_run(tower, picture)[0].float(), dim=-1)
        if torch.allclose(ours, model.encode_image(picture), rtol=0, atol=_TOLERANCE[model.dtype]):
            return
    raise ConfigError(
        field,
        "relevance",
        f"needs a plain vision transformer of open_clip, and this image tower "
        f"({type(tower).__name__}) is none; use another auxiliary: mask or box where the data set "
        "has them, segment, augment or black; or another model",
    )


def patch_evidence(model: ClipModel, pixels: Tensor, direction: Tensor) -> Tensor:
    """Evidence of every patch for a direction of the feature space.

    Args:
        model: A model that passes `check_relevance`.
        pixels: (B, 3, H, W) uint8.
        direction: (D,) float32.

    Returns:
        (B, h, w) float32 of the h x w patches, which sum to the number of layers.
    """
    tower = model.net.visual
    # The tower is frozen, so only the picture can require a gradient.
    pictures = model.preprocessing.normalise(pixels).to(model.dtype).requires_grad_()
    with torch.enable_grad():
        feature, layers = _run(tower, pictures)
        target = (F.normalize(feature.float(), dim=-1) @ direction).sum()
    evidence = torch.zeros(len(pixels), layers[0].shape[1] - 1, device=pixels.device)
    for tokens, gradient in zip(layers, torch.autograd.grad(target, layers), strict=True):
        part = (tokens.detach() * gradient)[:, 1:].float().abs().sum(-1)
        evidence += part / part.sum(-1, keepdim=True).clamp_min(torch.finfo(part.dtype).tiny)
    return evidence.unflatten(1, tower.grid_size)


def _run(tower: Any, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Image features before normalisation, and the tokens before every layer, (B, 1 + N, d)."""
    x = tower._embeds(pictures)
    layers = []
    for block in tower.transformer.resblocks:
        layers.append(x)
        x = block(x)
    pooled, _tokens = tower._pool(x)
    return (pooled if tower.proj is None else pooled @ tower.proj), layers


def above_threshold(maps: Tensor, threshold: float | str) -> Tensor:
    """Return the places where a map is above a fraction of its range, or above its Otsu threshold.

    Args:
        maps: (B, H, W) float32.
        threshold: Number in (0, 1), or ``otsu``: that of 256 levels with the least variance
            within the two parts (Otsu 1979).

    Returns:
        (B, H, W) bool; nothing is above in a map that is the same everywhere.
    """
    flat = maps.flatten(1)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    level = (flat - low) / (high - low).clamp_min(torch.finfo(flat.dtype).tiny)
    if isinstance(threshold, str):
        bins = (level * _BINS).long().clamp_max(_BINS - 1)
        above = bins > _otsu(bins)[:, None]
    else:
        above = level > threshold
    return above.unflatten(1, maps.shape[1:])


def _otsu(bins: Tensor) -> Tensor:
    """The last bin of the lower part, (B,), of values in (B, N) bins of equal width."""
    counts = torch.zeros(len(bins), _BINS, device=bins.device, dtype=torch.float64)
    counts.scatter_add_(1, bins, torch.ones_like(bins, dtype=counts.dtype))
    below = counts.cumsum(1)
    mass = (counts * torch.arange(_BINS, device=bins.device)).cumsum(1)
    total, whole = below[:, -1:], mass[:, -1:]
    # Variance between the parts, times total^2.
    between = (whole * below - mass * total) ** 2 / (below * (total - below)).clamp_min(1)
    return between.argmax(1)
