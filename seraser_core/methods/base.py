"""What a method is: from features of an image's views to class logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from seraser_core.models.engine import PromptEngine


@dataclass(frozen=True)
class Setting:
    """What all images of a run share.

    Attributes:
        engine: Prompt engine of the run's classes; None when no method tunes prompts.
        class_features: (C, D) float32, L2-normalised features of the untouched prompts.
        black_feature: (D,) float32, L2-normalised feature of the all-black image.
        logit_scale: s = exp(logit_scale).
    """

    engine: PromptEngine | None
    class_features: Tensor
    black_feature: Tensor
    logit_scale: float


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
    """A classification method; `views` names the pictures it needs of every image."""

    id: str
    views: tuple[str, ...]

    @abstractmethod
    def predict(self, features: Features, setting: Setting) -> Scores:
        """Scores of the B images whose view features are given, each independent of the others."""


def cosine_logits(image: Tensor, text: Tensor, scale: float) -> Tensor:
    """s * cosine similarity: (..., D) images against (C, D) or broadcast classes -> (..., C)."""
    return scale * (image @ text.transpose(-1, -2))
