"""Features of many views, of which some are decided and some are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from seraser_core.methods import Method, MethodContext, Scores, method_class
from seraser_core.models.prompts import build_prompts

CLASSES = ["a camel", "a deer", "a fox", "a gnu", "a hare"]


@dataclass(frozen=True)
class Crowd:
    """Views of some images.

    Attributes:
        context: Its class features are far from each other, unlike those of a random model.
        views: (B, V, D) float32, the image first.
    """

    context: MethodContext
    views: torch.Tensor

    def method(self, options: Any) -> Method:
        """Build the method of these options."""
        return method_class(options)(options, self.context)

    def predict(self, options: Any, views: torch.Tensor | None = None) -> Scores:
        """Scores of these views, or of all."""
        method = self.method(options)
        given = self.views if views is None else views
        image, crops = method.views
        return method.predict({image.name: given[:, :1], crops.name: given[:, 1:]})

    @property
    def literal(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Views, class features and scale as the literal twins take them."""
        context = self.context
        features = (self.views, context.class_features)
        return (*(x.double().numpy() for x in features), context.logit_scale)


@pytest.fixture
def crowd(tiny_model) -> Crowd:
    generator = torch.Generator().manual_seed(7)
    length = tiny_model.context_length
    prompts = build_prompts(CLASSES, "a photo of {}", tiny_model.tokenizer, length)
    context = MethodContext(tiny_model, prompts)
    width = context.class_features.shape[1]
    context.class_features = normalize(torch.randn(5, width, generator=generator), dim=-1)
    context.logit_scale = 20.0
    weights = torch.rand(6, 1, 5, generator=generator) ** 3
    crops = weights + 0.3 * torch.rand(6, 30, 5, generator=generator)
    noise = 0.1 * torch.randn(6, 30, width, generator=generator)
    return Crowd(context, normalize(crops @ context.class_features + noise, dim=-1))
