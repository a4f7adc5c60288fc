"""SEraser (arXiv 2403.00376): erase spurious features by tuning prompt tokens at test time."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from seraser_core.auxiliary import AUXILIARY
from seraser_core.config.options import SeraserOptions
from seraser_core.methods.base import Features, Method, Scores, Setting, cosine_logits


class Seraser(Method):
    """Tunes one prompt block per image until its auxiliary images are undecided.

    The B prompts are one tensor whose per-image losses are summed: AdamW works element by element,
    so this equals B separate runs.
    """

    def __init__(self, options: SeraserOptions) -> None:
        self.id = options.id
        self.options = options
        self._auxiliary = AUXILIARY[options.auxiliary]
        self._uses_foreground = options.foreground != "none" or options.pseudo_label
        foreground = (self._auxiliary.foreground,) if self._uses_foreground else ()
        self.views = tuple(dict.fromkeys(("image", *self._auxiliary.spurious, *foreground)))

    def predict(self, features: Features, setting: Setting) -> Scores:
        """See `Method.predict`."""
        engine = setting.engine
        if engine is None:
            raise ValueError("SEraser needs a prompt engine")
        options = self.options
        batch = len(features["image"])
        pictures = self._pictures(features, setting)
        prompt = engine.initial_prompt.repeat(batch, 1, 1).requires_grad_()
        optimiser = torch.optim.AdamW(
            [prompt],
            lr=options.lr,
            betas=(0.9, 0.999),
            eps=1e-8,
            weight_decay=options.weight_decay,
        )
        first: Tensor | None = None
        with torch.enable_grad():
            for _ in range(options.steps):
                loss = self._loss(pictures, engine.text_features(prompt), setting)
                first = loss.detach() if first is None else first
                (prompt.grad,) = torch.autograd.grad(loss.sum(), prompt)
                optimiser.step()
        with torch.no_grad():
            text = engine.text_features(prompt)
            last = self._loss(pictures, text, setting)
            logits = cosine_logits(features["image"], text, setting.logit_scale)[:, 0]
        return Scores(logits, last if first is None else first, last, options.steps)

    def _pictures(self, features: Features, setting: Setting) -> dict[str, Tensor]:
        batch = len(features["image"])
        black = setting.black_feature.expand(batch, 1, -1)
        spurious = [features[name] for name in self._auxiliary.spurious]
        pictures = {"image": features["image"], "spurious": torch.cat([*spurious, black], dim=1)}
        if self._uses_foreground:
            pictures["foreground"] = features[self._auxiliary.foreground]
        return pictures

    def _loss(self, pictures: dict[str, Tensor], text: Tensor, setting: Setting) -> Tensor:
        """Loss of each image: (B,)."""
        scale = setting.logit_scale
        log_p = {
            name: cosine_logits(x, text, scale).log_softmax(-1) for name, x in pictures.items()
        }
        loss = erase_loss(log_p["spurious"], self.options.kl)
        if self.options.foreground == "entropy":
            loss = loss + entropy(log_p["foreground"]).mean(1)
        elif self.options.foreground == "preserve":
            untouched = cosine_logits(pictures["foreground"], setting.class_features, scale)
            loss = loss + kl_divergence(untouched.log_softmax(-1), log_p["foreground"]).mean(1)
        if self.options.pseudo_label:
            target = log_p["foreground"].detach().exp().mean(1).argmax(-1)
            loss = loss + F.nll_loss(log_p["image"][:, 0], target, reduction="none")
        return loss


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


def entropy(log_p: Tensor) -> Tensor:
    """H(p) in nats over the last dimension."""
    return -(log_p.exp() * log_p).sum(-1)
