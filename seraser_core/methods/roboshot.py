"""RoboShot (arXiv 2309.04344): project image features by insights that texts express."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from seraser_core.config.methods.roboshot import RoboshotOptions
from seraser_core.errors import ConfigError
from seraser_core.kinds import IMAGE
from seraser_core.methods.context import MethodContext
from seraser_core.methods.method import Features, Method, Scores, cosine_logits
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import Prompts, tokenise

_LEAST_NEW = 1e-2
"""Fraction of a vector's length that those before it must leave unexplained."""


class Roboshot(Method):
    """Harmful directions are removed from the image feature, then helpful ones doubled."""

    views = (IMAGE,)

    def __init__(self, options: RoboshotOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        self._text, self._scale = context.class_features, context.logit_scale
        self._reject = directions(options.rejected(), context.model)
        self._accept = directions(options.accept, context.model)

    @classmethod
    def check(cls, options: RoboshotOptions, prompts: Prompts, model: ClipModel) -> None:
        """See `Method.check`."""
        for name, pairs in (("reject", options.rejected()), ("accept", options.accept)):
            field = f"methods.{options.id}.{name}"
            texts = [text for pair in pairs for text in pair]
            if texts:
                tokens = tokenise(texts, model.tokenizer, model.context_length, field)
                for pair, (one, other) in zip(pairs, tokens.unflatten(0, (-1, 2)), strict=True):
                    if torch.equal(one, other):
                        raise ConfigError(field, list(pair), "are the same text to the tokenizer")
                _check_independent(pairs, model, field)

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        x = features["image"][:, 0]
        for v in self._reject:
            x = normalize(x - (x @ v)[:, None] * v, dim=-1)
        for v in self._accept:
            x = normalize(x + (x @ v)[:, None] * v, dim=-1)
        return Scores(cosine_logits(x, self._text, self._scale))


def directions(pairs: list[tuple[str, str]], model: ClipModel) -> list[Tensor]:
    """Differences of the pairs' unnormalised text embeddings, made orthonormal by QR.

    Returns:
        One (D,) float32 per pair.
    """
    if not pairs:
        return []
    orthonormal, _ = torch.linalg.qr(_differences(pairs, model).T)
    return list(orthonormal.T)


def _check_independent(pairs: list[tuple[str, str]], model: ClipModel, field: str) -> None:
    """Refuse pairs that QR would turn into rounding noise.

    Raises:
        ConfigError: A pair adds (nearly) nothing to those before it.
    """
    place = follows_from_others(_differences(pairs, model))
    if place is not None:
        raise ConfigError(
            field,
            list(pairs[place]),
            "the difference of this pair follows from those before it; leave it out",
        )


def follows_from_others(vectors: Tensor) -> int | None:
    """Return the place of the first of (N, D) vectors that adds (nearly) nothing to the others."""
    _, upper = torch.linalg.qr(vectors.T)
    new = upper.diagonal().abs() / vectors.norm(dim=-1)[: len(upper)]
    dependent = [i for i in range(len(vectors)) if i >= len(new) or float(new[i]) < _LEAST_NEW]
    return dependent[0] if dependent else None


def _differences(pairs: list[tuple[str, str]], model: ClipModel) -> Tensor:
    """(N, D) float32 differences of N pairs' unnormalised text embeddings."""
    tokens = model.tokenizer([text for pair in pairs for text in pair])
    embedded = model.embed_text(tokens).unflatten(0, (-1, 2))
    return embedded[:, 0] - embedded[:, 1]
