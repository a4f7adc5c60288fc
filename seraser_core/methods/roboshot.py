"""RoboShot (arXiv 2309.04344): project image features by insights that texts express."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from seraser_core.config.methods import RoboshotOptions
from seraser_core.errors import ConfigError
from seraser_core.methods.base import Features, Method, Scores, Setting, cosine_logits
from seraser_core.models.loading import ClipModel
from seraser_core.models.prompts import Prompts, tokenise


class Roboshot(Method):
    """Harmful directions are removed from the image feature, then helpful ones doubled."""

    views = ("image",)

    def __init__(self, options: RoboshotOptions, setting: Setting) -> None:
        self.id = options.id
        self._text, self._scale = setting.class_features, setting.logit_scale
        self._reject = directions(options.reject, setting.model)
        self._accept = directions(options.accept, setting.model)

    @classmethod
    def check(cls, options: RoboshotOptions, prompts: Prompts, model: ClipModel) -> None:
        """See `Method.check`."""
        for name in ("reject", "accept"):
            field, pairs = f"methods.{options.id}.{name}", getattr(options, name)
            texts = [text for pair in pairs for text in pair]
            if texts:
                tokens = tokenise(texts, model.tokenizer, model.context_length, field)
                for pair, (one, other) in zip(pairs, tokens.unflatten(0, (-1, 2)), strict=True):
                    if torch.equal(one, other):
                        raise ConfigError(field, list(pair), "are the same text to the tokenizer")

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
        One (D,) float32 per pair; of more than D pairs, D.
    """
    if not pairs:
        return []
    tokens = model.tokenizer([text for pair in pairs for text in pair])
    embedded = model.embed_text(tokens).unflatten(0, (-1, 2))
    orthonormal, _ = torch.linalg.qr((embedded[:, 0] - embedded[:, 1]).T)
    return list(orthonormal.T)
