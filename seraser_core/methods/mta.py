"""MTA (arXiv 2405.02266): a robust mean shift over random crops; nothing is tuned."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import normalize

from seraser_core.config.methods.mta import MtaOptions
from seraser_core.methods.context import MethodContext
from seraser_core.methods.many_views import ManyViewsMethod, few_images, share_of
from seraser_core.methods.method import Features, Scores, cosine_logits

_OUTER = _INNER = 5
_STILL = 1e-6
"""Length of a step that is the last one."""
_NEIGHBOURS = 0.3
_LEAST_BANDWIDTH = 1e-10
"""Least squared bandwidth, for views that equal their neighbours; far above rounding."""
_AFFINITY, _SMOOTHNESS = 4.0, 0.2


class Mta(ManyViewsMethod):
    """Zero-shot with the mode of the views' density in place of the image's feature.

    Views count by their inlierness: views near the mode, whose predictions others share. All is
    computed in float64, and no image waits for others to stop: its result is the same in any batch.
    """

    def __init__(self, options: MtaOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        self._text = context.class_features

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        views, text = self._all_views(features), self._text.double()
        parts = few_images(views, len(text))
        modes = torch.cat([density_mode(part.double(), text, self._scale) for part in parts])
        return Scores(cosine_logits(modes, text, self._scale).float())


def density_mode(views: Tensor, text: Tensor, scale: float) -> Tensor:
    """Find the mode m of the density of the views, from the first one on.

    In turns, up to five times each, for all images at once: the inlierness
    y = softmax((K + 4 W y) / 0.2), and m = normalise(sum_p K_p y_p f_p).

    Args:
        views: (B, V, D) L2-normalised features f.
        text: (C, D) L2-normalised class features.
        scale: s = exp(logit_scale).

    Returns:
        (B, D), L2-normalised.
    """
    p = cosine_logits(views, text, scale).softmax(-1)
    affinity, bandwidth = p @ p.transpose(1, 2), _bandwidth(views)
    mode, y = views[:, 0], torch.full_like(bandwidth, 1 / views.shape[1])
    for _ in range(_OUTER):
        density = _density(views, bandwidth, mode)
        y = _until_still(partial(_inlierness, density, affinity), y)
        mode = _until_still(partial(_mean_shift, views, bandwidth, y), mode)
    return mode


def _density(views: Tensor, bandwidth: Tensor, mode: Tensor) -> Tensor:
    """K_p = exp(-|f_p - m|^2 / (2 h_p^2)): (B, V)."""
    return (-(views - mode[:, None]).square().sum(-1) / (2 * bandwidth)).exp()


def _inlierness(density: Tensor, affinity: Tensor, y: Tensor) -> Tensor:
    agreeing = (affinity @ y[..., None])[..., 0]
    return ((density + _AFFINITY * agreeing) / _SMOOTHNESS).softmax(-1)


def _mean_shift(views: Tensor, bandwidth: Tensor, y: Tensor, mode: Tensor) -> Tensor:
    weights = _density(views, bandwidth, mode) * y
    return normalize((weights[:, None] @ views)[:, 0], dim=-1)


def _bandwidth(views: Tensor) -> Tensor:
    """h_p^2, half the mean squared distance of a view to the nearest 30 % of the others: (B, V)."""
    cosines = views @ views.transpose(1, 2)
    squares = cosines.diagonal(dim1=1, dim2=2)
    distances = (squares[:, :, None] + squares[:, None] - 2 * cosines).clamp_min(0)
    distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    nearest = share_of(_NEIGHBOURS, views.shape[1] - 1)
    near = distances.topk(nearest, dim=-1, largest=False).values
    return (near.mean(-1) / 2).clamp_min(_LEAST_BANDWIDTH)


def _until_still(step: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
    """Repeat a step on (B, n); an image that moved less than the least length keeps its value."""
    moving = torch.ones_like(value[:, :1], dtype=torch.bool)
    for _ in range(_INNER):
        after = torch.where(moving, step(value), value)
        moving = moving & ((after - value).norm(dim=-1, keepdim=True) >= _STILL)
        value = after
    return value
