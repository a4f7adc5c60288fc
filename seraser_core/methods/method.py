"""Base of all methods, from features of an image's views to class logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, ClassVar

from torch import Tensor

from seraser_core.config.methods import offered_methods
from seraser_core.kinds import View
from seraser_core.methods.context import MethodContext
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.engine import PromptEngine
from seraser_core.models.prompts import Prompts

_TRIAL = "seraser_core.methods.trial:try_method"  # which is built on this module


@dataclass(frozen=True)
class Scores:
    """Logits of one method for B images.

    Attributes:
        logits: (B, C) float32.
        loss_first: (B,) float32, loss before the first step; None without tuning.
        loss_last: (B,) float32, loss with the prompt that the logits come from.
        steps: Optimiser steps; None without tuning.
        seconds: Time it took, beside the image features that all methods share.
        peak_bytes: Most memory of the GPU that was in use meanwhile; None on a CPU.
    """

    logits: Tensor
    loss_first: Tensor | None = None
    loss_last: Tensor | None = None
    steps: int | None = None
    seconds: float = 0.0
    peak_bytes: int | None = None


Features = Mapping[str, Tensor]
"""Name of a view -> (B, K, D) float32, L2-normalised image features.

`SEED` -> (B,) int64 on the CPU, seeds for a method that draws at random: they depend on the run's
seed and the image's id alone. A sample to learn from has none.
"""
SEED = "seed"


class Method(ABC):
    """A classification method.

    Args:
        options: Its options.
        context: The model, the prompts, and what else methods share.

    Attributes:
        id: Its name in the results.
        views: The pictures that it needs of every image.
        engine: Engine with which it tunes prompts for every image; None if it does not.
        sample: Images of the data set that `fit` must see before anything is predicted; of the
            split that `MethodOptions.other_split` names, if any.
        sample_views: The pictures that `fit` needs of them.
        stateful: Whether an image's scores depend on the images before it in its shard.
        probabilistic: Whether softmax of its logits gives probabilities of the classes; if it only
            gives shares of votes or the like, NLL, Brier score, ECE and top-5 are not known.
        orders: If it is stateful, other orders of a shard in which its accuracy is measured.
    """

    id: str
    views: tuple[View, ...]
    engine: PromptEngine | None = None
    sample: int = 0
    sample_views: tuple[View, ...] = ()
    stateful: ClassVar[bool] = False
    probabilistic: ClassVar[bool] = True
    orders: int = 0

    def __init__(self, options: Any, context: MethodContext) -> None:
        self.id = options.id

    @classmethod
    def check(cls, options: Any, prompts: Prompts, model: ClipModel) -> None:
        """Refuse options that do not go with the run's classes and model, before any work.

        Here, a model with which the foregrounds that they ask for cannot be made; and a method of
        another package that fails on two random images.

        Raises:
            ConfigError: They do not.
        """
        for region in options.regions():
            if region.check:
                resolve_name(region.check)(model, f"methods.{options.id}.auxiliary")
        if options.name in offered_methods().origins:
            resolve_name(_TRIAL)(options, prompts, model)

    @classmethod
    def learns(cls, options: Any) -> bool:
        """Return whether a method of these options has a sample to learn from, see `fit`."""
        return cls.fit is not Method.fit

    def fit(self, features: Features) -> None:
        """Learn from view features of a sample of the images, without their labels."""
        return

    def for_shard(self) -> Method:
        """Return the method for one shard: itself, or if stateful one with no memory."""
        return self

    @abstractmethod
    def predict(self, features: Features) -> Scores:
        """Return the scores of B images from their view features.

        Each is independent of the others, unless the method is stateful. All methods share the
        features and the tensors of the context: a method that changes one in place is an error.
        """


def cosine_logits(image: Tensor, text: Tensor, scale: float) -> Tensor:
    """s * cosine similarity: (..., D) images against (C, D) or broadcast classes -> (..., C)."""
    return scale * (image @ text.transpose(-1, -2))


def entropy(log_p: Tensor) -> Tensor:
    """H(p) in nats over the last dimension."""
    return -(log_p.exp() * log_p).sum(-1)
