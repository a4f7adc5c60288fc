"""Whether bf16 predicts what fp32 does."""

from __future__ import annotations

from typing import Any

import torch
from inputs import class_prompts, random_pictures
from stages import STEPS, Engine, auto_batch
from torch import Tensor

from seraser_core.config.options import ModelOptions
from seraser_core.methods import MethodContext
from seraser_core.models.clip_model import get_model


def measure_agreement(options: ModelOptions, classes: int, images: int) -> dict[str, Any]:
    """Predictions of both precisions on random pictures."""
    fp32, bf16 = (_logits(options, precision, classes, images) for precision in ("fp32", "bf16"))
    return {"classes": classes, "images": images, **compare(fp32, bf16)}


def compare(exact: Tensor, other: Tensor) -> dict[str, float]:
    """Share of equal predictions, and how sure `exact` was at most where they differ.

    Args:
        exact: (N, C) logits.
        other: (N, C) logits.
    """
    p = exact.softmax(-1)
    first, second = p.argmax(-1), other.argmax(-1)
    margin = p.gather(1, first[:, None]) - p.gather(1, second[:, None])
    return {"agreement": float((first == second).double().mean()), "margin": float(margin.max())}


def _logits(options: ModelOptions, precision: str, classes: int, images: int) -> Tensor:
    model = get_model(options.model_copy(update={"precision": precision}))
    context = MethodContext(model, class_prompts(model, classes))
    engine = Engine(context, STEPS)
    size = auto_batch(context)
    found = []
    for first in range(0, images, size):
        pictures = random_pictures(model, min(size, images - first), first)
        found.append(engine.logits(pictures).float().cpu())
    return torch.cat(found)
