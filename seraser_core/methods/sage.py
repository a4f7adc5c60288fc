"""SAGE (AAAI 2026): the templates that tell the classes of an image apart best; and its control."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from seraser_core.config.methods.sage import SageOptions, TemplateChoiceOptions
from seraser_core.kinds import IMAGE
from seraser_core.methods.context import MethodContext
from seraser_core.methods.ensemble import check_templates
from seraser_core.methods.method import SEED, Features, Method, Scores, cosine_logits
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import Prompts

_NUMBERS_AT_ONCE = 2**24
"""Cosines, and numbers of the class features, that are computed for some images at once."""


class TemplateChoice(Method):
    """An image is compared with the mean of its own K of the M templates."""

    views = (IMAGE,)

    def __init__(self, options: TemplateChoiceOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        self.options = options
        self._features = context.template_features(options.templates)
        self._scale = context.logit_scale

    @classmethod
    def check(cls, options: TemplateChoiceOptions, prompts: Prompts, model: ClipModel) -> None:
        """See `Method.check`."""
        check_templates(options.templates, prompts, model)

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        templates, classes, width = self._features.shape
        per_image = classes * (templates + self.options.keep * width)
        images = max(1, _NUMBERS_AT_ONCE // per_image)
        starts = range(0, len(features["image"]), images)
        parts = ({name: of[i : i + images] for name, of in features.items()} for i in starts)
        return Scores(torch.cat([self._logits(part) for part in parts]))

    def _logits(self, features: Features) -> Tensor:
        kept = self._features[self.choose(features)]
        text = normalize(kept.mean(1), dim=-1)
        return cosine_logits(features["image"], text, self._scale)[:, 0]

    @abstractmethod
    def choose(self, features: Features) -> Tensor:
        """Choose the templates of B images.

        Returns:
            (B, K) int64, on the device of the features.
        """


class Sage(TemplateChoice):
    """Keeps the templates of the largest spread of cosine similarities over the classes."""

    options: SageOptions

    def choose(self, features: Features) -> Tensor:
        """See `TemplateChoice.choose`."""
        cosines = torch.einsum("bd,mcd->bmc", features["image"][:, 0], self._features)
        return widest(cosines, self.options.keep, self.options.spread)


class SageRandom(TemplateChoice):
    """Keeps templates that are drawn for every image, without looking at it."""

    def choose(self, features: Features) -> Tensor:
        """See `TemplateChoice.choose`."""
        drawn = [
            np.random.default_rng([*self.id.encode(), seed]).permutation(len(self._features))
            for seed in features[SEED].tolist()
        ]
        kept = np.stack(drawn)[:, : self.options.keep]
        return torch.from_numpy(kept).to(features["image"].device)


def widest(cosines: Tensor, keep: int, spread: str) -> Tensor:
    """Return the templates of the largest spread; of equal ones, those that come first.

    Args:
        cosines: (B, M, C), of an image to a class in a template.
        keep: K.
        spread: ``range``: largest minus smallest class; ``top2``: largest minus second largest.

    Returns:
        (B, K) int64, largest spread first.
    """
    if spread == "range":
        widths = cosines.amax(-1) - cosines.amin(-1)
    else:
        first, second = cosines.topk(2, dim=-1).values.unbind(-1)
        widths = first - second
    return widths.argsort(dim=-1, descending=True, stable=True)[:, :keep]
