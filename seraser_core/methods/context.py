"""The model and the prompts of a run, with the features that its methods share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from seraser_core.methods.shared import Shared
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.engine import PromptEngine, build_engine
from seraser_core.models.prompts import Prompts, build_prompts

_TEXTS_AT_ONCE = 16384
"""Prompts of an ensemble whose features are kept until their mean is taken."""


class MethodContext:
    """Model and prompts that the methods of a run share, and the features made of them once.

    Args:
        model: The model.
        prompts: The run's prompts, one per class.
        kernels: Kernels of the engines, see `seraser_core.config.options.RuntimeOptions`.

    Attributes:
        class_features: (C, D) float32, L2-normalised features of the prompts.
        black_feature: (D,) float32, L2-normalised feature of the all-black image.
        logit_scale: s = exp(logit_scale).
        shared: The tensors among these, which no method may change in place.
    """

    def __init__(self, model: ClipModel, prompts: Prompts, kernels: str = "standard") -> None:
        self.model, self.prompts, self._kernels = model, prompts, kernels
        self.shared = Shared()
        share = self.shared.add
        share("context.prompts.tokens", prompts.tokens)
        self.class_features = share("context.class_features", model.encode_text(prompts.tokens))
        # The model is kept for other runs, too.
        self.black_feature = share("context.black_feature", model.black_feature.clone())
        self.logit_scale = model.logit_scale
        self._engines: dict[tuple[int, tuple[str, ...]], PromptEngine] = {}
        self._ensembles: dict[tuple[str, ...], Tensor] = {}
        self._templates: dict[tuple[str, ...], Tensor] = {}

    def engine(self, context_tokens: int, prompts: Prompts | None = None) -> PromptEngine:
        """The engine that tunes `context_tokens` tokens of `prompts`, or the run's; made once."""
        prompts = prompts or self.prompts
        key = (context_tokens, tuple(prompts.texts))
        if key not in self._engines:
            engine = build_engine(self.model, prompts, context_tokens, kernels=self._kernels)
            for name in ("initial_prompt", "base_features"):
                self.shared.add(f"context.engine(...).{name}", getattr(engine, name))
            self._engines[key] = engine
        return self._engines[key]

    def ensemble_features(self, templates: Sequence[str]) -> Tensor:
        """Mean over `templates` of a class's normalised features, normalised again; made once.

        Returns:
            (C, D) float32.
        """
        key = tuple(templates)
        if key not in self._ensembles:
            features = [self._mean_features(templates, ps) for ps in self._parts(len(templates))]
            whole = torch.cat(features)
            self._ensembles[key] = self.shared.add("context.ensemble_features(...)", whole)
        return self._ensembles[key]

    def template_features(self, templates: Sequence[str]) -> Tensor:
        """Normalised features of every class in each of `templates`; made once.

        Returns:
            (M, C, D) float32.
        """
        key = tuple(templates)
        if key not in self._templates:
            every = template_prompts(templates, self.prompts, self.model)
            features = self.class_features.new_empty(len(templates), *self.class_features.shape)
            for place, prompts in enumerate(every):
                features[place] = self.model.encode_text(prompts.tokens)
            self._templates[key] = self.shared.add("context.template_features(...)", features)
        return self._templates[key]

    def _parts(self, templates: int) -> list[Prompts]:
        """Cut the run's prompts into parts with a bounded number of texts."""
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
    """Yield the prompts of the run's classes for each template.

    Raises:
        ConfigError: See `build_prompts`.
    """
    for template in templates:
        given = (prompts.classes, template, model.tokenizer, model.context_length)
        yield build_prompts(*given, "methods.templates")
