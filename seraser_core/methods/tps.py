"""TPS (arXiv 2403.12952): shift class features until confident random crops agree."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from seraser_core.config.methods.tps import TpsOptions
from seraser_core.methods.context import MethodContext
from seraser_core.methods.many_views import ManyViewsMethod, confident_views
from seraser_core.methods.method import Features, Scores, cosine_logits

_SELECTION = 0.1
_LR, _EPS = 5e-3, 1e-8
_MOST_SHIFTS = 2**22
"""Numbers of shifts that are made at once: 32 MiB."""


class Tps(ManyViewsMethod):
    """One AdamW step on a shift of every class feature, for each image on its confident views.

    The loss is that of TPT. From shifts of zero, weight decay does nothing and AdamW's first step
    is lr * g / (|g| + eps), so the gradient is written out, without autograd or an optimiser. All
    is computed in float64: the step keeps hardly more than the gradient's sign.
    """

    def __init__(self, options: TpsOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        self._text = context.class_features

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        views, text = self._all_views(features), self._text.double()
        confident = confident_views(views, text, self._scale, _SELECTION).double()
        image, pulls = views[:, :1].double(), logit_gradient(confident, text, self._scale)
        logits = []
        for start in range(0, len(text), self._classes_at_once(len(views))):
            part = slice(start, start + self._classes_at_once(len(views)))
            shift = first_step(pulls[..., part], confident, text[part], self._scale)
            shifted = normalize(text[part] + shift, dim=-1)
            logits.append(cosine_logits(image, shifted, self._scale)[:, 0])
        return Scores(torch.cat(logits, dim=1).float())

    def _classes_at_once(self, images: int) -> int:
        return max(1, _MOST_SHIFTS // (images * self._text.shape[1]))


def logit_gradient(confident: Tensor, text: Tensor, scale: float) -> Tensor:
    """Gradient of the entropy of the mean probability with respect to the logits of all views.

    It is p (sum_c p_c log q_c - log q) / k, with p the probabilities of a view and q their mean.

    Args:
        confident: (B, k, D) L2-normalised features of the views.
        text: (C, D) class features.
        scale: s = exp(logit_scale).

    Returns:
        (B, k, C).
    """
    count = confident.shape[1]
    log_p = cosine_logits(confident, normalize(text, dim=-1), scale).log_softmax(-1)
    log_q = log_p.logsumexp(1, keepdim=True) - math.log(count)
    p = log_p.exp()
    return p * ((p * log_q).sum(-1, keepdim=True) - log_q) / count


def first_step(pulls: Tensor, confident: Tensor, text: Tensor, scale: float) -> Tensor:
    """Return the shifts S of some classes after one AdamW step from zero.

    Args:
        pulls: (B, k, C) gradient with respect to the logits.
        confident: (B, k, D) features that the logits are of.
        text: (C, D) features of these classes, t; logits are s f . normalise(t + S).
        scale: s = exp(logit_scale).

    Returns:
        (B, C, D).
    """
    lengths = text.norm(dim=-1, keepdim=True)
    along = text / lengths
    gradient = scale * (pulls.transpose(1, 2) @ confident)
    gradient = (gradient - (gradient * along).sum(-1, keepdim=True) * along) / lengths
    return -_LR * gradient / (gradient.abs() + _EPS)
