"""Zero-shot classification of the image without its object: what the surroundings tell."""

from __future__ import annotations

from seraser_core.config.methods.background import BackgroundOptions
from seraser_core.kinds import KINDS
from seraser_core.methods.context import MethodContext
from seraser_core.methods.method import Features, Method, Scores, cosine_logits


class Background(Method):
    """The untouched prompts on the image whose foreground is black."""

    def __init__(self, options: BackgroundOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        self._context = context
        self.views = KINDS[options.auxiliary].spurious

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        image = features[self.views[0].name][:, 0]
        context = self._context
        return Scores(cosine_logits(image, context.class_features, context.logit_scale))
