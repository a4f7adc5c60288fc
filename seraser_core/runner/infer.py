"""From ready samples to scores: micro-batches that fit the device's memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import psutil
import torch
from torch import Tensor

from seraser_core.errors import TransientError
from seraser_core.methods import Features, Scores
from seraser_core.methods.base import cosine_logits
from seraser_core.runner.feed import Sample
from seraser_core.runner.session import Session

logger = logging.getLogger(__name__)
_MOST_IMAGES = 64
# Activations that backpropagation keeps per token and layer, in units of the text width.
_ACTIVATIONS = 24


def batch_size(session: Session) -> int:
    """Images adapted at once: the option, or what a model of the activations says fits."""
    wanted = session.config.runtime.batch_size
    if wanted != "auto":
        return max(1, wanted)
    net = session.model.net
    tower = net.text if hasattr(net, "text") else net
    width = tower.positional_embedding.shape[-1]
    layers = len(tower.transformer.resblocks)
    tokens = len(session.run["classes"]) * 8
    per_image = tokens * layers * width * _ACTIVATIONS * session.model.dtype.itemsize
    if session.model.device.type == "cuda":
        available = torch.cuda.mem_get_info(session.model.device)[0]
    else:
        available = psutil.virtual_memory().total // 2  # total: the same every time
    return int(max(1, min(_MOST_IMAGES, available // 2 // per_image)))


def score(session: Session, samples: Sequence[Sample]) -> dict[str, Scores]:
    """Scores of every method, and under ``""`` those of the untouched prompt on the whole image.

    When the device's memory runs out, the batch is halved until it fits.

    Raises:
        TransientError: Not even one image fits.
    """
    try:
        return _score(session, samples)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        reason = str(error)
    # Outside the handler: the exception would keep the tensors that filled the memory.
    if session.model.device.type == "cuda":
        torch.cuda.empty_cache()
    if len(samples) == 1:
        raise TransientError(f"out of memory with a single image: {reason}")
    half = len(samples) // 2
    logger.warning("out of memory with %d images; going on with %d", len(samples), half)
    first, second = score(session, samples[:half]), score(session, samples[half:])
    return {name: _join(first[name], second[name]) for name in first}


def _score(session: Session, samples: Sequence[Sample]) -> dict[str, Scores]:
    features = encode_views(session, samples)
    whole = features["image"][:, 0]
    setting = session.zero_shot
    zero_shot = cosine_logits(whole, setting.class_features, setting.logit_scale)
    scores = {"": _to_cpu(Scores(zero_shot))}
    for method in session.methods:
        started = time.perf_counter()
        found = _to_cpu(method.predict(features, session.settings[method.id]))
        scores[method.id] = replace(found, seconds=time.perf_counter() - started)
    return scores


def encode_views(session: Session, samples: Sequence[Sample]) -> Features:
    """Image features of all views, each picture encoded once: name -> (B, K, D)."""
    counts = {name: len(samples[0].views[name]) for name in session.views}
    pictures = torch.cat([sample.views[name] for name in session.views for sample in samples])
    encoded = session.model.encode_image(pictures)
    parts = encoded.split([count * len(samples) for count in counts.values()])
    return {
        name: part.unflatten(0, (len(samples), count))
        for (name, count), part in zip(counts.items(), parts, strict=True)
    }


def as_numpy(tensor: Tensor | None) -> np.ndarray | None:
    """The float32 array of a CPU tensor, or None."""
    return None if tensor is None else tensor.detach().float().numpy()


def _to_cpu(scores: Scores) -> Scores:
    def move(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.detach().float().cpu()

    return Scores(
        scores.logits.detach().float().cpu(),
        move(scores.loss_first),
        move(scores.loss_last),
        scores.steps,
    )


def _join(first: Scores, second: Scores) -> Scores:
    def cat(a: Tensor | None, b: Tensor | None) -> Tensor | None:
        return None if a is None or b is None else torch.cat([a, b])

    return Scores(
        torch.cat([first.logits, second.logits]),
        cat(first.loss_first, second.loss_first),
        cat(first.loss_last, second.loss_last),
        first.steps,
        first.seconds + second.seconds,
    )


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return "can't allocate memory" in text or "out of memory" in text
