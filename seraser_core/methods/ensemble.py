"""Zero-shot classification with many prompt templates (CLIP, arXiv 2103.00020, section 3.1.4)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from seraser_core.config.methods.ensemble import EnsembleOptions
from seraser_core.kinds import IMAGE
from seraser_core.methods.context import MethodContext, template_prompts
from seraser_core.methods.method import Features, Method, Scores, cosine_logits
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import Prompts, some_prompts

_CHECKED = 2048


class Ensemble(Method):
    """The mean text feature of all templates on the whole image."""

    views = (IMAGE,)

    def __init__(self, options: EnsembleOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        self._features = context.ensemble_features(options.templates)
        self._scale = context.logit_scale

    @classmethod
    def check(cls, options: EnsembleOptions, prompts: Prompts, model: ClipModel) -> None:
        """See `Method.check`."""
        check_templates(options.templates, prompts, model)

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        return Scores(cosine_logits(features["image"][:, 0], self._features, self._scale))


def check_templates(templates: Sequence[str], prompts: Prompts, model: ClipModel) -> None:
    """Refuse templates with which a class's prompt is too long, see `build_prompts`.

    Of very many classes, those with the longest names are looked at.

    Raises:
        ConfigError: One is.
    """
    deque(template_prompts(templates, some_prompts(prompts, _CHECKED), model), maxlen=0)
