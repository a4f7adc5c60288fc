"""Zero-shot classification: argmax s E_i(x) . E_t(t_c)."""

from __future__ import annotations

from seraser_core.config.methods.zero_shot import ZeroShotOptions
from seraser_core.kinds import IMAGE
from seraser_core.methods.context import MethodContext
from seraser_core.methods.method import Features, Method, Scores, cosine_logits


class ZeroShot(Method):
    """The untouched prompts on the whole image."""

    views = (IMAGE,)

    def __init__(self, options: ZeroShotOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        self._context = context

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        image = features["image"][:, 0]
        context = self._context
        return Scores(cosine_logits(image, context.class_features, context.logit_scale))
