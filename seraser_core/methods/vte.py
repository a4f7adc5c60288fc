"""VTE: ensembles of text templates and of confident views; nothing is tuned."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from seraser_core.config.methods.vte import VteOptions
from seraser_core.kinds import IMAGE, crops_view
from seraser_core.methods.confident import confident_views
from seraser_core.methods.context import MethodContext
from seraser_core.methods.ensemble import check_templates
from seraser_core.methods.method import Features, Method, Scores, cosine_logits
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import Prompts


class Vte(Method):
    """The mean feature of confident views, normalised again, against the template ensemble."""

    def __init__(self, options: VteOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        self._share = options.selection
        self._text = context.ensemble_features(options.templates)
        self._scale = context.logit_scale
        self._crops = crops_view(options.views - 1, context.model.preprocessing.size)
        self.views = (IMAGE, self._crops)

    @classmethod
    def check(cls, options: VteOptions, prompts: Prompts, model: ClipModel) -> None:
        """See `Method.check`."""
        check_templates(options.templates, prompts, model)

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        views = torch.cat([features["image"], features[self._crops.name]], dim=1)
        confident = confident_views(views, self._text, self._scale, self._share)
        mean = normalize(confident.mean(1), dim=-1)
        return Scores(cosine_logits(mean, self._text, self._scale))
