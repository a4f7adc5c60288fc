"""Zero-shot classification of the foreground image: what a segmenter alone buys."""

from __future__ import annotations

from seraser_core.config.methods.foreground import ForegroundOptions
from seraser_core.kinds import KINDS
from seraser_core.methods.context import MethodContext
from seraser_core.methods.method import Features, Method, Scores, cosine_logits


class Foreground(Method):
    """The untouched prompts on the image whose background is black."""

    def __init__(self, options: ForegroundOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        self._context = context
        self.views = (KINDS[options.auxiliary].foreground,)

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        image = features[self.views[0].name][:, 0]
        context = self._context
        return Scores(cosine_logits(image, context.class_features, context.logit_scale))
