"""ZERO (arXiv 2405.18330): the vote of confident random crops; nothing is tuned."""

from __future__ import annotations

import torch
from torch import Tensor

from seraser_core.config.methods.zero import ZeroOptions
from seraser_core.methods.context import MethodContext
from seraser_core.methods.many_views import ManyViewsMethod, by_entropy, few_images, share_of
from seraser_core.methods.method import Features, Scores, cosine_logits

_SELECTION = 0.3
_NO_VOTE = -1000.0
"""Logit of a class without a vote: a number, as rows must hold, whose exponential is 0."""


class Zero(ManyViewsMethod):
    """The class that most of the views of lowest entropy predict.

    Logits are the logarithms of the classes' shares of the votes, so that softmax gives the shares.
    """

    probabilistic = False

    def __init__(self, options: ZeroOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        self._text = context.class_features

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        views, text = self._all_views(features), self._text.double()
        parts = few_images(views, len(text))
        logits = [vote(cosine_logits(part.double(), text, self._scale)) for part in parts]
        return Scores(torch.cat(logits))


def vote(logits: Tensor) -> Tensor:
    """Logarithms of the shares of votes; of tied classes, the one that wins has the largest.

    Of the tied classes, that wins which the first of the other views predicts, in order of
    rising entropy; if they predict none of these, the one with the largest logit in the first of
    these views.

    Args:
        logits: (B, V, C) of the views.

    Returns:
        (B, C) float32.
    """
    count = share_of(_SELECTION, logits.shape[1])
    order = by_entropy(logits)
    predicted = logits.argmax(-1).gather(1, order)
    voting, others = predicted[:, :count], predicted[:, count:]
    votes = torch.zeros_like(logits[:, 0])
    votes.scatter_add_(1, voting, torch.ones_like(voting, dtype=votes.dtype))
    tied = votes == votes.amax(1, keepdim=True)
    decides = tied.gather(1, others)
    by_prediction = others.gather(1, decides.int().argmax(1, keepdim=True))
    first_other = logits.take_along_dim(order[:, count, None, None], dim=1)[:, 0]
    by_logit = first_other.masked_fill(~tied, -torch.inf).argmax(1, keepdim=True)
    winner = torch.where(decides.any(1, keepdim=True), by_prediction, by_logit)
    shares = (votes / count).log().clamp_min(_NO_VOTE).float()
    less = torch.nextafter(shares, torch.full_like(shares, -torch.inf))
    return torch.where(tied.scatter(1, winner, False), less, shares)
