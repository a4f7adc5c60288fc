"""Methods that look at an image and many random crops of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seraser_core.kinds import IMAGE, crops_view
from seraser_core.methods.context import MethodContext
from seraser_core.methods.method import Features, Method, cosine_logits, entropy

_MOST_NUMBERS = 2**23
"""Logits, features or distances that are made at once: 64 MiB of each."""


class ManyViewsMethod(Method):
    """A method with the option `views`: the image and views - 1 random crops of it.

    Methods with the same number of views share their pictures and features.
    """

    def __init__(self, options: Any, context: MethodContext) -> None:
        super().__init__(options, context)
        self._scale = context.logit_scale
        self._crops = crops_view(options.views - 1, context.model.preprocessing.size)
        self.views = (IMAGE, self._crops)

    def _all_views(self, features: Features) -> Tensor:
        """Features of all V views, the image first: (B, V, D)."""
        return torch.cat([features[IMAGE.name], features[self._crops.name]], dim=1)


def few_images(views: Tensor, classes: int) -> tuple[Tensor, ...]:
    """Cut views (B, V, D) into parts of so few images that their logits can be made at once."""
    _, count, width = views.shape
    return views.split(max(1, _MOST_NUMBERS // (count * max(count, width, classes))))


def by_entropy(logits: Tensor) -> Tensor:
    """Order of the views of each image by rising entropy, equal ones by place.

    Args:
        logits: (B, V, C).

    Returns:
        (B, V) int64, places of views.
    """
    return entropy(logits.log_softmax(-1)).sort(dim=1, stable=True).indices


def confident_views(views: Tensor, text: Tensor, scale: float, share: float) -> Tensor:
    """Select the views of lowest entropy of each image (TPT, arXiv 2209.07511, equation 3).

    In float64, so that the choice does not depend on the batch.

    Args:
        views: (B, V, D) L2-normalised features.
        text: (C, D) L2-normalised class features.
        scale: s = exp(logit_scale).
        share: Share of the views; int(share * V) of them, and at least one, are returned.

    Returns:
        (B, k, D), of lowest entropy first.
    """
    count = share_of(share, views.shape[1])
    parts = few_images(views, len(text))
    orders = [by_entropy(cosine_logits(part.double(), text.double(), scale)) for part in parts]
    return views.take_along_dim(torch.cat(orders)[:, :count, None], dim=1)


def share_of(share: float, count: int) -> int:
    """Number of things that are a share of `count`: rounded down, and at least one."""
    return max(1, int(share * count))
