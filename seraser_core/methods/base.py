"""What a method is: from features of an image's views to class logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from seraser_core.models.engine import PromptEngine, build_engine
from seraser_core.models.loading import ClipModel
from seraser_core.models.prompts import Prompts


class Setting:
    """What the methods of a run share: the model, the prompts, and what is made of them once.

    Args:
        model: The model.
        prompts: The run's prompts, one per class.

    Attributes:
        class_features: (C, D) float32, L2-normalised features of the prompts.
        black_feature: (D,) float32, L2-normalised feature of the all-black image.
        logit_scale: s = exp(logit_scale).
    """

    def __init__(self, model: ClipModel, prompts: Prompts) -> None:
        self.model, self.prompts = model, prompts
        self.class_features = model.encode_text(prompts.tokens)
        self.black_feature = model.black_feature
        self.logit_scale = model.logit_scale
        self._engines: dict[tuple[int, tuple[str, ...]], PromptEngine] = {}

    def engine(self, context_tokens: int, prompts: Prompts | None = None) -> PromptEngine:
        """The engine that tunes `context_tokens` tokens of `prompts`, or the run's; made once."""
        prompts = prompts or self.prompts
        key = (context_tokens, tuple(prompts.texts))
        if key not in self._engines:
            self._engines[key] = build_engine(self.model, prompts, context_tokens)
        return self._engines[key]


@dataclass(frozen=True)
class Scores:
    """What a method says of B images.

    Attributes:
        logits: (B, C) float32.
        loss_first: (B,) float32, loss before the first step; None without tuning.
        loss_last: (B,) float32, loss with the prompt that the logits come from.
        steps: Optimiser steps; None without tuning.
        seconds: Time it took, beside the image features that all methods share.
    """

    logits: Tensor
    loss_first: Tensor | None = None
    loss_last: Tensor | None = None
    steps: int | None = None
    seconds: float = 0.0


Features = Mapping[str, Tensor]
"""View name -> (B, K, D) float32, L2-normalised image features."""


class Method(ABC):
    """A classification method.

    Attributes:
        id: Its name in the results.
        views: Names of the pictures it needs of every image.
        engine: What it tunes prompts with; None when it does not.
    """

    id: str
    views: tuple[str, ...]
    engine: PromptEngine | None = None

    @abstractmethod
    def predict(self, features: Features) -> Scores:
        """Scores of the B images whose view features are given, each independent of the others."""


def cosine_logits(image: Tensor, text: Tensor, scale: float) -> Tensor:
    """s * cosine similarity: (..., D) images against (C, D) or broadcast classes -> (..., C)."""
    return scale * (image @ text.transpose(-1, -2))


def entropy(log_p: Tensor) -> Tensor:
    """H(p) in nats over the last dimension."""
    return -(log_p.exp() * log_p).sum(-1)
