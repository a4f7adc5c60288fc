"""Time of SEraser stage by stage, and of the whole method where only some steps were timed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from machine import seconds
from torch import Tensor

from seraser_core.config.methods.seraser import SeraserOptions
from seraser_core.methods import MethodContext
from seraser_core.methods.seraser import Seraser
from seraser_core.models.engine import images_at_once
from seraser_core.runner.infer import _MOST_IMAGES, PICTURES_AT_ONCE

STEPS = 20
VIEWS = ("image", "mask_background", "mask_foreground")


@dataclass(frozen=True)
class Stages:
    """Seconds per image of the stages of the method.

    Attributes:
        encode: The image tower, once per image; 0 where every step encodes the pictures again.
        tuning: The timed steps together.
        final: The prediction with the tuned prompt.
        timed_steps: How many steps were timed.
    """

    encode: float
    tuning: float
    final: float
    timed_steps: int

    @property
    def whole(self) -> float:
        """Seconds of the method with all its steps, each like those that were timed."""
        return self.encode + self.tuning * STEPS / self.timed_steps + self.final

    def shares(self) -> dict[str, float]:
        """Part of `whole` of every stage."""
        encode, final = self.encode / self.whole, self.final / self.whole
        return {"encode": encode, "tuning": 1 - encode - final, "final": final}


def auto_batch(context: MethodContext) -> int:
    """Images that a run would tune together, see `seraser_core.runner.infer.batch_size`."""
    device = context.model.device
    engine = context.engine(SeraserOptions().context_tokens)
    return min(_MOST_IMAGES[device.type], images_at_once(engine, device))


class Engine:
    """The package's way.

    Args:
        context: Made of the model and the prompts.
        steps: Tuning steps.
    """

    def __init__(self, context: MethodContext, steps: int) -> None:
        self._model, self._steps = context.model, steps
        self._whole = Seraser(SeraserOptions(steps=steps), context)
        self._untuned = Seraser(SeraserOptions(steps=0), context)

    def logits(self, pictures: Mapping[str, Tensor]) -> Tensor:
        """Logits (B, C) of the images of which `pictures` holds the views, (B, 3, H, W) uint8."""
        return self._whole.predict(self._encode(pictures)).logits

    def time(self, pictures: Mapping[str, Tensor], repeats: int) -> Stages:
        """Time of the stages, the best of `repeats` each.

        Without a step, the method does nothing but the final prediction.
        """
        device, count = self._model.device, len(pictures["image"])
        features = self._encode(pictures)
        warm = 2 if device.type == "cuda" else 1  # the first batch of a size is recorded
        for _ in range(warm):
            self._whole.predict(features)
        encode, tuned, final = (
            min(seconds(work, device) for _ in range(repeats))
            for work in (
                lambda: self._encode(pictures),
                lambda: self._whole.predict(features),
                lambda: self._untuned.predict(features),
            )
        )
        return Stages(encode / count, (tuned - final) / count, final / count, self._steps)

    def _encode(self, pictures: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """View name -> (B, 1, D)."""
        stacked = torch.cat([pictures[name] for name in VIEWS])
        at_once = PICTURES_AT_ONCE[self._model.device.type]
        encoded = torch.cat([self._model.encode_pixels(part) for part in stacked.split(at_once)])
        parts = encoded.unflatten(0, (len(VIEWS), -1))
        return {name: part[:, None] for name, part in zip(VIEWS, parts, strict=True)}
