"""Base of all methods: from features of an image's views to class logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pkgutil import resolve_name
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from seraser_core.kinds import View
from seraser_core.models.engine import PromptEngine, build_engine
from seraser_core.models.loading import ClipModel
from seraser_core.models.prompts import Prompts, build_prompts

_TEXTS_AT_ONCE = 16384
"""Prompts of an ensemble whose features are kept until their mean is taken."""


class MethodContext:
    """Model and prompts that the methods of a run share, and the features made of them once.

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
        self._ensembles: dict[tuple[str, ...], Tensor] = {}

    def engine(self, context_tokens: int, prompts: Prompts | None = None) -> PromptEngine:
        """The engine that tunes `context_tokens` tokens of `prompts`, or the run's; made once."""
        prompts = prompts or self.prompts
        key = (context_tokens, tuple(prompts.texts))
        if key not in self._engines:
            self._engines[key] = build_engine(self.model, prompts, context_tokens)
        return self._engines[key]

    def ensemble_features(self, templates: Sequence[str]) -> Tensor:
        """Mean over `templates` of a class's normalised features, normalised again; made once.

        Returns:
            (C, D) float32.
        """
        key = tuple(templates)
        if key not in self._ensembles:
            self._ensembles[key] = torch.cat(
                [self._mean_features(templates, part) for part in self._parts(len(templates))]
            )
        return self._ensembles[key]

    def _parts(self, templates: int) -> list[Prompts]:
        """The run's prompts, of as many classes at once as have a bounded number of texts."""
        at_once = max(1, _TEXTS_AT_ONCE // templates)
        ps = self.prompts
        return [
            replace(
                ps,
                classes=ps.classes[start : start + at_once],
                texts=ps.texts[start : start + at_once],
                tokens=ps.tokens[start : start + at_once],
            )
            for start in range(0, len(ps.classes), at_once)
        ]

    def _mean_features(self, templates: Sequence[str], prompts: Prompts) -> Tensor:
        tokens = [ps.tokens for ps in template_prompts(templates, prompts, self.model)]
        features = self.model.encode_text(torch.cat(tokens))
        return normalize(features.unflatten(0, (len(templates), -1)).mean(0), dim=-1)


def template_prompts(
    templates: Sequence[str], prompts: Prompts, model: ClipModel
) -> Iterator[Prompts]:
    """Every template's prompts of the run's classes.

    Raises:
        ConfigError: See `build_prompts`.
    """
    for template in templates:
        yield build_prompts(prompts.classes, template, model.tokenizer, model.context_length)


@dataclass(frozen=True)
class Scores:
    """Logits of one method for B images.

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
"""Name of a view -> (B, K, D) float32, L2-normalised image features."""


class Method(ABC):
    """A classification method.

    Args:
        options: Its options.
        context: The model, the prompts, and what else methods share.

    Attributes:
        id: Its name in the results.
        views: The pictures that it needs of every image.
        engine: What it tunes prompts with, for every image; None when it does not.
        sample: Images of the data set that `fit` must see before anything is predicted.
        sample_views: The pictures that `fit` needs of them.
        stateful: Whether an image's scores depend on the images before it in its shard.
    """

    id: str
    views: tuple[View, ...]
    engine: PromptEngine | None = None
    sample: int = 0
    sample_views: tuple[View, ...] = ()
    stateful: ClassVar[bool] = False

    def __init__(self, options: Any, context: MethodContext) -> None:
        self.id = options.id

    @classmethod
    def check(cls, options: Any, prompts: Prompts, model: ClipModel) -> None:
        """Refuse options that do not go with the run's classes and model, before any work.

        Here, a model with which the foregrounds that they ask for cannot be made.

        Raises:
            ConfigError: They do not.
        """
        for region in options.regions():
            if region.check:
                resolve_name(region.check)(model, f"methods.{options.id}.auxiliary")

    def fit(self, features: Features) -> None:
        """Learn from view features of a sample of the images, without their labels."""
        return

    def for_shard(self) -> Method:
        """Return the method for one shard: itself, or if stateful one with no memory."""
        return self

    @abstractmethod
    def predict(self, features: Features) -> Scores:
        """Scores of the B images whose view features are given.

        Each is independent of the others, unless the method is stateful.
        """


def cosine_logits(image: Tensor, text: Tensor, scale: float) -> Tensor:
    """s * cosine similarity: (..., D) images against (C, D) or broadcast classes -> (..., C)."""
    return scale * (image @ text.transpose(-1, -2))


def entropy(log_p: Tensor) -> Tensor:
    """H(p) in nats over the last dimension."""
    return -(log_p.exp() * log_p).sum(-1)
