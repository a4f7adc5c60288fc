"""TIE* (ICLR 2025): image features without the context that they are nearest to."""

from __future__ import annotations

import logging

import torch
from torch import Tensor
from torch.nn.functional import normalize

from seraser_core.config.methods.tie import PoolOptions, TieOptions
from seraser_core.errors import SeraserError
from seraser_core.kinds import IMAGE
from seraser_core.methods.context import MethodContext
from seraser_core.methods.method import Features, Method, Scores, cosine_logits
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import Prompts, tokenise

logger = logging.getLogger(__name__)


class Tie(Method):
    """Takes lambda u off an image feature, u the nearest context prompt.

    lambda is the mean cosine of u and the images of the pool that are nearest to it, or with no
    pool that of the image itself: what remains is then orthogonal to u.
    """

    views = (IMAGE,)
    sample_views = (IMAGE,)

    def __init__(self, options: TieOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        self._options, model = options, context.model
        self._contexts = model.encode_text(model.tokenizer(options.contexts))
        self._text, self._scale = context.class_features, context.logit_scale
        self._means: Tensor | None = None
        other = options.other_split()
        self.sample = (options.pool.sample or 0) if other is None else other.images

    @classmethod
    def check(cls, options: TieOptions, prompts: Prompts, model: ClipModel) -> None:
        """See `Method.check`."""
        field = f"methods.{options.id}.contexts"
        tokenise(options.contexts, model.tokenizer, model.context_length, field)

    @classmethod
    def learns(cls, options: TieOptions) -> bool:
        """See `Method.learns`."""
        return options.pool != PoolOptions()

    def fit(self, features: Features) -> None:
        """See `Method.fit`."""
        cosines, nearest = (features["image"][:, 0] @ self._contexts.T).max(-1)
        sums, counts = (torch.zeros(len(self._contexts), dtype=torch.float64) for _ in range(2))
        sums.index_add_(0, nearest.cpu(), cosines.double().cpu())
        counts.index_add_(0, nearest.cpu(), torch.ones(len(nearest), dtype=torch.float64))
        means = (sums / counts).to(self._contexts)
        for text, count in zip(self._options.contexts, counts.tolist(), strict=True):
            if not count:
                logger.warning(
                    "%s: no image of the pool is nearest to %r; from images that are, their own "
                    "share of it is taken, as with pool: self",
                    self.id,
                    text,
                )
        self._means = means

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        image = features["image"][:, 0]
        shares, nearest = (image @ self._contexts.T).max(-1)
        if self.sample:
            if self._means is None:
                raise SeraserError(
                    f"{self.id}: no image of its pool could be used",
                    "check that the images of the split it is drawn from can be read",
                )
            means = self._means[nearest]
            shares = torch.where(means.isnan(), shares, means)
        rest = normalize(image - shares[:, None] * self._contexts[nearest], dim=-1)
        return Scores(cosine_logits(rest, self._text, self._scale))
