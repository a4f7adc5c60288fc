"""Zero-shot classification of the foreground image: what a segmenter alone buys."""

from __future__ import annotations

from seraser_core.config.methods.foreground import ForegroundOptions
from seraser_core.kinds import KINDS
from seraser_core.methods.base import Features, Method, Scores, Setting, cosine_logits


class Foreground(Method):
    """The untouched prompts on the image whose background is black."""

    def __init__(self, options: ForegroundOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self._setting = setting
        self.views = (KINDS[options.auxiliary].foreground,)

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        image = features[self.views[0].name][:, 0]
        setting = self._setting
        return Scores(cosine_logits(image, setting.class_features, setting.logit_scale))
