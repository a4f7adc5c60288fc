"""TDA (Karmanov et al., CVPR 2024): caches of the features seen so far, without a gradient."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seraser_core.config.methods.tda import TdaOptions
from seraser_core.errors import ConfigError
from seraser_core.kinds import IMAGE
from seraser_core.methods.context import MethodContext
from seraser_core.methods.method import Features, Method, Scores, cosine_logits, entropy
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import Prompts

_ROOM = 16


class Tda(Method):
    """Zero-shot logits, drawn to confident images seen before and away from undecided ones.

    An image enters the caches before it is scored, so what is returned depends on the order of the
    shard's images; every shard begins with empty caches.

    Attributes:
        positive: Features of the lowest entropy per predicted class.
        negative: The same among undecided images, with 1 at the classes that count against them.
    """

    views = (IMAGE,)
    stateful = True

    def __init__(self, options: TdaOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        self.options, self.orders = options, options.orders
        self._context = context
        classes, width = context.class_features.shape
        self.positive = Cache(options.positive_shots, width)
        self.negative = Cache(options.negative_shots, width, classes)

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
        return Tda(self.options, self._context)

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        image, context = features["image"][:, 0], self._context
        logits = cosine_logits(image, context.class_features, context.logit_scale)
        log_p = logits.log_softmax(-1)
        # One image after the other, so on the CPU; nothing below can run out of memory.
        everything = (image, logits, log_p.exp(), entropy(log_p))
        stream = zip(*(tensor.float().cpu() for tensor in everything), strict=True)
        return Scores(torch.stack([self._see(*one) for one in stream]))

    def _see(self, feature: Tensor, logits: Tensor, p: Tensor, entropy_nats: Tensor) -> Tensor:
        options, h = self.options, float(entropy_nats)
        predicted = int(logits.argmax())
        self.positive.offer(predicted, h, feature)
        low, high = options.negative_entropy
        if low < h / math.log2(len(p)) < high:
            low, high = options.negative_mask
            self.negative.offer(predicted, h, feature, ((p > low) & (p < high)).float())
        near = self.positive.nearness(feature, options.positive_beta)
        far = self.negative.nearness(feature, options.negative_beta)
        attraction = torch.zeros_like(logits)
        attraction[self.positive.classes] = options.positive_alpha * near.sum(1)
        values = self.negative.values[: len(far)].flatten(0, 1)
        repulsion = options.negative_alpha * (far.flatten() @ values)
        return logits + attraction - repulsion


class Cache:
    """The `shots` images of lowest entropy for each of the K classes predicted so far.

    Rows behind the first K are room for more: of thousands of classes, few are predicted.

    Attributes:
        classes: The K classes, in the order in which they came.
        features: (K or more, shots, D) float32.
        values: (K or more, shots, V) float32, what else is kept of them.
        entropies: (K or more, shots) float32 in nats; infinite where nothing is kept yet.
    """

    def __init__(self, shots: int, width: int, values: int = 0) -> None:
        self.features = torch.zeros(_ROOM, shots, width)
        self.values = torch.zeros(_ROOM, shots, values)
        self.entropies = torch.full((_ROOM, shots), math.inf)
        self._rows: dict[int, int] = {}

    @property
    def classes(self) -> list[int]:
        """See the class."""
        return list(self._rows)

    def _row(self, predicted: int) -> int:
        row = self._rows.setdefault(predicted, len(self._rows))
        if row == len(self.entropies):
            self.features = torch.cat([self.features, torch.zeros_like(self.features)])
            self.values = torch.cat([self.values, torch.zeros_like(self.values)])
            more = torch.full_like(self.entropies, math.inf)
            self.entropies = torch.cat([self.entropies, more])
        return row

    def offer(
        self, predicted: int, entropy_nats: float, feature: Tensor, value: Tensor | None = None
    ) -> None:
        """Keep an image if there is room, or in place of one of higher entropy."""
        at = self._row(predicted)
        kept = self.entropies[at]
        if not len(kept) or not entropy_nats < float(kept[-1]):
            return
        # Sorted by entropy; among equals the one that came first stays first.
        place = int((kept <= entropy_nats).sum())
        news = (self.features, feature), (self.values, value), (self.entropies, entropy_nats)
        for rows, new in news:
            row = rows[at]
            row[place + 1 :] = row[place:-1].clone()
            if new is not None:
                row[place] = new

    def nearness(self, feature: Tensor, beta: float) -> Tensor:
        """exp(-beta (1 - cosine similarity)) to the kept images, 0 in free places: (K, shots)."""
        used = slice(len(self._rows))
        near = (-beta * (1 - self.features[used] @ feature)).exp()
        return torch.where(self.entropies[used] < math.inf, near, 0.0)
