"""SEraser (arXiv 2403.00376): erase spurious features by tuning prompt tokens at test time."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from seraser_core.config.methods.seraser import EraseOptions
from seraser_core.kinds import IMAGE, KINDS
from seraser_core.methods.context import MethodContext
from seraser_core.methods.method import Features, Method, Scores, cosine_logits, entropy
from seraser_core.methods.tuning import PromptTuner
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.engine import PromptEngine
from seraser_core.models.prompts import Prompts, check_context_tokens


class Seraser(Method):
    """Tunes one prompt block per image until its auxiliary images are undecided."""

    def __init__(self, options: EraseOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        self.options = options
        self._context = context
        self.engine: PromptEngine = context.engine(options.context_tokens)
        self._auxiliary = KINDS[options.auxiliary]
        self._uses_foreground = options.foreground != "none" or options.pseudo_label
        foreground = (self._auxiliary.foreground,) if self._uses_foreground else ()
        self.views = tuple(dict.fromkeys((IMAGE, *self._auxiliary.spurious, *foreground)))
        self._tuner = PromptTuner(self._losses, options.steps, options.lr, options.weight_decay)

    @classmethod
    def check(cls, options: EraseOptions, prompts: Prompts, model: ClipModel) -> None:
        """See `Method.check`."""
        field = f"methods.{options.id}.context_tokens"
        check_context_tokens(prompts, options.context_tokens, field)
        super().check(options, prompts, model)

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        constants = self.constants(features)
        initial = self.engine.initial_prompt.expand(len(features["image"]), -1, -1)
        tuned = self._tuner.tune(initial, constants)
        with torch.no_grad():
            text = self.engine.text_features(tuned.prompt)
            last = self.loss(text, constants)
            logits = self._logits(features["image"], text)[:, 0]
        first = last if tuned.loss_first is None else tuned.loss_first
        return Scores(logits, first, last, self.options.steps)

    def constants(self, features: Features) -> dict[str, Tensor]:
        """Constants of each image that the loss is computed from.

        Returns:
            ``pictures`` (B, K, D): features of the spurious pictures, the black one last, and where
            the loss needs them those of the foreground and of the image. With ``preserve`` also
            ``untouched`` (B, F, C): log-probabilities of the F foregrounds under the untouched
            prompt.
        """
        batch = len(features["image"])
        parts = [features[view.name] for view in self._auxiliary.spurious]
        parts.append(self._context.black_feature.expand(batch, 1, -1))
        untouched = {}
        if self._uses_foreground:
            foreground = features[self._auxiliary.foreground.name]
            parts.append(foreground)
            if self.options.foreground == "preserve":
                logits = self._logits(foreground, self._context.class_features)
                untouched["untouched"] = logits.log_softmax(-1)
        if self.options.pseudo_label:
            parts.append(features["image"])
        return untouched | {"pictures": torch.cat(parts, dim=1)}

    def _losses(self, prompt: Tensor, constants: Features) -> Tensor:
        return self.loss(self.engine.text_features(prompt), constants)

    def loss(self, text: Tensor, constants: Features) -> Tensor:
        """Loss of each image, (B,).

        Args:
            text: Class features of its own or of all: (B or 1, C, D).
            constants: See `constants`.
        """
        log_p = self._logits(constants["pictures"], text).log_softmax(-1)  # (B, K, C)
        spurious = 1 + sum(view.count for view in self._auxiliary.spurious)
        foreground = log_p[:, spurious : -1 if self.options.pseudo_label else None]
        loss = erase_loss(log_p[:, :spurious], self.options.kl)
        if self.options.foreground == "entropy":
            loss = loss + entropy(foreground).mean(1)
        elif self.options.foreground == "preserve":
            loss = loss + kl_divergence(constants["untouched"], foreground).mean(1)
        if self.options.pseudo_label:
            target = foreground.detach().exp().mean(1).argmax(-1)
            loss = loss + F.nll_loss(log_p[:, -1], target, reduction="none")
        return loss

    def _logits(self, pictures: Tensor, text: Tensor) -> Tensor:
        return cosine_logits(pictures, text, self._context.logit_scale)


def erase_loss(log_p: Tensor, direction: str) -> Tensor:
    """Distance of auxiliary predictions to the uniform distribution U over C classes.

    Args:
        log_p: (B, K, C) log-probabilities of K auxiliary images.
        direction: ``u_p``: KL(U || p); ``p_u``: KL(p || U).

    Returns:
        (B,), the mean over the auxiliary images.
    """
    uniform = torch.full_like(log_p, -math.log(log_p.shape[-1]))
    pair = (uniform, log_p) if direction == "u_p" else (log_p, uniform)
    return kl_divergence(*pair).mean(1)


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) in nats over the last dimension."""
    return (log_p.exp() * (log_p - log_q)).sum(-1)
