"""TPT (arXiv 2209.07511): tune the prompt until the confident ones among random crops agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seraser_core.config.methods.tpt import TptOptions
from seraser_core.errors import ConfigError
from seraser_core.methods.context import MethodContext
from seraser_core.methods.many_views import ManyViewsMethod, confident_views
from seraser_core.methods.method import Features, Scores, cosine_logits, entropy
from seraser_core.methods.tuning import PromptTuner
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.engine import PromptEngine
from seraser_core.models.prompts import Prompts, build_prompts


class Tpt(ManyViewsMethod):
    """Tunes one prompt block per image on its views of lowest entropy.

    The loss is the entropy of the *mean* probability over these views, which are chosen with the
    untouched prompt. Positions are added to the tuned tokens, so AdamW and its weight decay see
    token embeddings alone.
    """

    def __init__(self, options: TptOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        self.options = options
        model, run_prompts = context.model, context.prompts
        prompts = tpt_prompts(
            options, run_prompts.classes, model.tokenizer, run_prompts.tokens.shape[1]
        )
        self.engine: PromptEngine = context.engine(prompts.shared - 1, prompts)
        tower, span = model.text_tower, slice(1, prompts.shared)
        template = prompts.tokens[0, span].to(model.device)
        self._tokens: Tensor = tower.token_embedding(template).detach().float()
        self._positions: Tensor = tower.positional_embedding[span].detach().float()
        self._tuner = PromptTuner(self._losses, options.steps, options.lr, options.weight_decay)

    @classmethod
    def check(cls, options: TptOptions, prompts: Prompts, model: ClipModel) -> None:
        """See `Method.check`."""
        tpt_prompts(options, prompts.classes, model.tokenizer, model.context_length)

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        views = self._all_views(features)
        image = views[:, :1]
        untouched = self.engine.base_features
        confident = confident_views(views, untouched, self._scale, self.options.selection)
        tuned = self._tuner.tune(self._tokens.expand(len(image), -1, -1), {"confident": confident})
        with torch.no_grad():
            text = self._text_features(tuned.prompt)
            last = self._loss(text, confident)
            logits = cosine_logits(image, text, self._scale)[:, 0]
        first = last if tuned.loss_first is None else tuned.loss_first
        return Scores(logits, first, last, self.options.steps)

    def _losses(self, tokens: Tensor, inputs: Features) -> Tensor:
        return self._loss(self._text_features(tokens), inputs["confident"])

    def _text_features(self, tokens: Tensor) -> Tensor:
        return self.engine.text_features(tokens + self._positions)

    def _loss(self, text: Tensor, views: Tensor) -> Tensor:
        """Entropy of the mean probability over views (B, k, D): (B,)."""
        log_p = cosine_logits(views, text, self._scale).log_softmax(-1)
        return entropy(log_p.logsumexp(1) - math.log(views.shape[1]))


def tpt_prompts(
    options: TptOptions,
    classes: Sequence[str],
    tokenizer: Callable[..., Tensor],
    context_length: int,
) -> Prompts:
    """Return the prompts "<context> <class>."; all tokens of the context are tuned.

    Raises:
        ConfigError: The context has no token of its own, or see `build_prompts`.
    """
    template = f"{options.context} {{}}."
    prompts = build_prompts(classes, template, tokenizer, context_length)
    if prompts.shared < 2:
        raise ConfigError(
            f"methods.{options.id}.context",
            repr(options.context),
            "has no token that all prompts share, so there is nothing to tune; use other words",
        )
    return prompts
