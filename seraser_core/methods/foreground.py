"""Zero-shot classification of the foreground image: what a segmenter alone buys."""

from __future__ import annotations

from seraser_core.auxiliary import AUXILIARY
from seraser_core.auxiliary.relevance import check_relevance
from seraser_core.config.methods.foreground import ForegroundOptions
from seraser_core.methods.base import Features, Method, Scores, Setting, cosine_logits
from seraser_core.models.loading import ClipModel
from seraser_core.models.prompts import Prompts


class Foreground(Method):
    """The untouched prompts on the image whose background is black."""

    def __init__(self, options: ForegroundOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self._setting = setting
        self.views = (AUXILIARY[options.auxiliary].foreground,)

    @classmethod
    def check(cls, options: ForegroundOptions, prompts: Prompts, model: ClipModel) -> None:
        """See `Method.check`."""
        if options.auxiliary == "relevance":
            check_relevance(model, f"methods.{options.id}.auxiliary")

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        image = features[self.views[0]][:, 0]
        setting = self._setting
        return Scores(cosine_logits(image, setting.class_features, setting.logit_scale))
