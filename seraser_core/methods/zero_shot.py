"""Zero-shot classification: argmax s E_i(x) . E_t(t_c)."""

from __future__ import annotations

from seraser_core.config.methods.zero_shot import ZeroShotOptions
from seraser_core.kinds import IMAGE
from seraser_core.methods.base import Features, Method, Scores, Setting, cosine_logits


class ZeroShot(Method):
    """The untouched prompts on the whole image."""

    views = (IMAGE,)

    def __init__(self, options: ZeroShotOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self._setting = setting

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        image = features["image"][:, 0]
        setting = self._setting
        return Scores(cosine_logits(image, setting.class_features, setting.logit_scale))
