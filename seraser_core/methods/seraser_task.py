"""SEraser with one prompt for a whole task, tuned once on a sample of the images."""

from __future__ import annotations

import torch
from torch import Tensor

from seraser_core.config.methods.seraser_task import SeraserTaskOptions
from seraser_core.errors import SeraserError
from seraser_core.kinds import IMAGE
from seraser_core.methods.context import MethodContext
from seraser_core.methods.method import Features, Method, Scores, cosine_logits
from seraser_core.methods.seraser import Seraser
from seraser_core.methods.tuning import PromptTuner
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import Prompts


class SeraserTask(Method):
    """Tunes one prompt on the mean loss of a sample (arXiv 2403.00376 tunes one per image).

    After the prompt is tuned, an image costs what zero-shot costs, and the views that the losses
    need are made of the sample alone.
    """

    views = (IMAGE,)

    def __init__(self, options: SeraserTaskOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        self.sample = options.sample
        self._seraser = Seraser(options, context)
        self.sample_views = self._seraser.views
        self._steps, self._scale = options.steps, context.logit_scale
        self._tuner = PromptTuner(self._losses, options.steps, options.lr, options.weight_decay)
        self._text: Tensor | None = None

    @classmethod
    def check(cls, options: SeraserTaskOptions, prompts: Prompts, model: ClipModel) -> None:
        """See `Method.check`."""
        Seraser.check(options, prompts, model)

    def fit(self, features: Features) -> None:
        """See `Method.fit`."""
        engine = self._seraser.engine
        tuned = self._tuner.tune(engine.initial_prompt[None], self._seraser.constants(features))
        with torch.no_grad():
            self._text = engine.text_features(tuned.prompt)[0]

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        if self._text is None:
            raise SeraserError(f"{self.id}: predicts before its prompt is tuned")
        return Scores(
            cosine_logits(features["image"][:, 0], self._text, self._scale), steps=self._steps
        )

    def _losses(self, prompt: Tensor, constants: Features) -> Tensor:
        """The mean loss of the sample, (1,), under the one prompt (1, n, d)."""
        text = self._seraser.engine.text_features(prompt)
        return self._seraser.loss(text, constants).mean(0, keepdim=True)
