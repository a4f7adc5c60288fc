"""The views of an image that a model is most certain about."""

from __future__ import annotations

from torch import Tensor

from seraser_core.methods.method import cosine_logits, entropy


def confident_views(views: Tensor, text: Tensor, scale: float, share: float) -> Tensor:
    """Select the views of lowest entropy of each image (TPT, arXiv 2209.07511, equation 3).

    Args:
        views: (B, V, D) L2-normalised features.
        text: (C, D) L2-normalised class features.
        scale: s = exp(logit_scale).
        share: Share of the views; int(share * V) of them, and at least one, are returned.

    Returns:
        (B, k, D).
    """
    count = max(1, int(share * views.shape[1]))
    log_p = cosine_logits(views, text, scale).log_softmax(-1)
    chosen = entropy(log_p).topk(count, dim=1, largest=False).indices
    return views.take_along_dim(chosen[..., None], dim=1)
