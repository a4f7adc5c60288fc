"""TDA (Karmanov et al., CVPR 2024): caches of the features seen so far, without a gradient."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from seraser_core.config.methods import TdaOptions
from seraser_core.errors import ConfigError
from seraser_core.methods.base import Features, Method, Scores, Setting, cosine_logits, entropy
from seraser_core.models.loading import ClipModel
from seraser_core.models.prompts import Prompts


class Tda(Method):
    """Zero-shot logits, drawn to confident images seen before and away from undecided ones.

    An image enters the caches before it is scored, so what is returned depends on the order of the
    shard's images; every shard begins with empty caches.

    Attributes:
        positive: Features of the lowest entropy per predicted class.
        negative: The same among undecided images, with their probabilities.
    """

    views = ("image",)
    stateful = True

    def __init__(self, options: TdaOptions, setting: Setting) -> None:
        self.id = options.id
        self.options = options
        self._text, self._scale = setting.class_features, setting.logit_scale
        classes, width = self._text.shape
        self.positive = Cache(classes, options.positive_shots, width)
        self.negative = Cache(classes, options.negative_shots, width)

    @classmethod
    def check(cls, options: TdaOptions, prompts: Prompts, model: ClipModel) -> None:
        """See `Method.check`."""
        for name in ("negative_entropy", "negative_mask"):
            low, high = getattr(options, name)
            if not low < high:
                raise ConfigError(
                    f"methods.{options.id}.{name}", [low, high], "write the smaller number first"
                )

    def for_shard(self) -> Tda:
        """See `Method.for_shard`."""
        fresh = copy.copy(self)
        classes, width = self._text.shape
        fresh.positive = Cache(classes, self.options.positive_shots, width)
        fresh.negative = Cache(classes, self.options.negative_shots, width)
        return fresh

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        image = features["image"][:, 0]
        logits = cosine_logits(image, self._text, self._scale)
        log_p = logits.log_softmax(-1)
        # One image after the other, so on the processor; nothing below can run out of its memory.
        everything = (image, logits, log_p.exp(), entropy(log_p))
        stream = zip(*(tensor.float().cpu() for tensor in everything), strict=True)
        return Scores(torch.stack([self._see(*one) for one in stream]))

    def _see(self, feature: Tensor, logits: Tensor, p: Tensor, entropy_nats: Tensor) -> Tensor:
        options, h = self.options, float(entropy_nats)
        predicted = int(logits.argmax())
        self.positive.offer(predicted, feature, p, h)
        low, high = options.negative_entropy
        if low < h / math.log2(len(p)) < high:
            self.negative.offer(predicted, feature, p, h)
        near = self.positive.nearness(feature, options.positive_beta)
        attraction = options.positive_alpha * near.sum(1)
        low, high = options.negative_mask
        against = (
            (self.negative.probabilities > low) & (self.negative.probabilities < high)
        ).float()
        far = self.negative.nearness(feature, options.negative_beta)
        repulsion = options.negative_alpha * (far.flatten() @ against.flatten(0, 1))
        return logits + attraction - repulsion


class Cache:
    """For each of C predicted classes the `shots` images of the lowest entropy.

    Attributes:
        features: (C, shots, D) float32.
        probabilities: (C, shots, C) float32.
        entropies: (C, shots) float32 in nats; infinite where nothing is kept yet.
    """

    def __init__(self, classes: int, shots: int, width: int) -> None:
        self.features = torch.zeros(classes, shots, width)
        self.probabilities = torch.zeros(classes, shots, classes)
        self.entropies = torch.full((classes, shots), math.inf)

    def offer(self, predicted: int, feature: Tensor, p: Tensor, entropy_nats: float) -> None:
        """Keep an image if there is room, or in place of one of higher entropy."""
        kept = self.entropies[predicted]
        if not len(kept) or not entropy_nats < float(kept[-1]):
            return
        # Sorted by entropy; among equals the one that came first stays first.
        place = int((kept <= entropy_nats).sum())
        for rows, new in (
            (self.features, feature),
            (self.probabilities, p),
            (self.entropies, torch.tensor(entropy_nats)),
        ):
            row = rows[predicted]
            row[place + 1 :] = row[place:-1].clone()
            row[place] = new

    def nearness(self, feature: Tensor, beta: float) -> Tensor:
        """exp(-beta (1 - cosine similarity)) to what is kept, 0 elsewhere: (C, shots)."""
        near = (-beta * (1 - self.features @ feature)).exp()
        return torch.where(self.entropies < math.inf, near, 0.0)
