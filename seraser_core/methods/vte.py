"""VTE: ensembles of text templates and of confident views; nothing is tuned."""

from __future__ import annotations

from torch.nn.functional import normalize

from seraser_core.config.methods.vte import VteOptions
from seraser_core.methods.context import MethodContext
from seraser_core.methods.ensemble import check_templates
from seraser_core.methods.many_views import ManyViewsMethod, confident_views
from seraser_core.methods.method import Features, Scores, cosine_logits
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import Prompts


class Vte(ManyViewsMethod):
    """The mean feature of confident views, normalised again, against the template ensemble."""

    def __init__(self, options: VteOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        self._share = options.selection
        self._text = context.ensemble_features(options.templates)

    @classmethod
    def check(cls, options: VteOptions, prompts: Prompts, model: ClipModel) -> None:
        """See `Method.check`."""
        check_templates(options.templates, prompts, model)

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        views = self._all_views(features)
        confident = confident_views(views, self._text, self._scale, self._share)
        mean = normalize(confident.mean(1), dim=-1)
        return Scores(cosine_logits(mean, self._text, self._scale))
