"""PerceptionCLIP (ICLR 2024), in two steps: the context of an image, then its class given that."""

from __future__ import annotations

import torch
from torch import Tensor

from seraser_core.config.methods.perception import PerceptionOptions
from seraser_core.kinds import IMAGE
from seraser_core.methods.context import MethodContext
from seraser_core.methods.ensemble import check_templates
from seraser_core.methods.method import Features, Method, Scores
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import Prompts

_NUMBERS_AT_ONCE = 2**24
"""Logits of classes in contexts that are computed for some images at once."""


class Perception(Method):
    """p(y|x) = sum over contexts z of p(z|x) p(y|x, z); the logits are its logarithm."""

    views = (IMAGE,)

    def __init__(self, options: PerceptionOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        features = [context.ensemble_features(_templates(ds)) for ds in options.contexts.values()]
        self._features = torch.stack(features)
        self._scale, self._tau = context.logit_scale, options.tau

    @classmethod
    def check(cls, options: PerceptionOptions, prompts: Prompts, model: ClipModel) -> None:
        """See `Method.check`."""
        for descriptions in options.contexts.values():
            check_templates(_templates(descriptions), prompts, model)

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        contexts, classes, _ = self._features.shape
        parts = features["image"][:, 0].split(max(1, _NUMBERS_AT_ONCE // (contexts * classes)))
        return Scores(torch.cat([self._log_p(part) for part in parts]))

    def _log_p(self, image: Tensor) -> Tensor:
        """Log p(y|x) of (B, D) images: (B, C)."""
        logits = self._scale * torch.einsum("bd,zcd->bzc", image, self._features)
        evidence = logits.logsumexp(-1)
        log_context = (evidence / self._tau).log_softmax(-1)
        log_class = logits - evidence[..., None]
        return (log_context[..., None] + log_class).logsumexp(1)


def _templates(descriptions: list[str]) -> list[str]:
    """Return the templates of a context; the empty description has no comma."""
    return [f"a photo of {{}}, {text}." if text else "a photo of {}." for text in descriptions]
