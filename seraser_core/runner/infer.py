"""Scoring samples in micro-batches that fit into the device's memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from seraser_core.errors import TransientError
from seraser_core.methods import Method, Scores, calls
from seraser_core.methods.method import cosine_logits
from seraser_core.methods.recording import release_memory
from seraser_core.methods.shared import Shared
from seraser_core.models.engine import images_at_once
from seraser_core.models.memory import begin_peak, is_out_of_memory, peak_bytes, view_budget
from seraser_core.runner.session import Session

T = TypeVar("T")
logger = logging.getLogger(__name__)
_ENCODE = "image tower"
PICTURES_AT_ONCE = {"cpu": 16, "cuda": 256}
"""Fastest measured image batch; larger CPU batches fall out of the cache."""
_MOST_IMAGES = {"cpu": 64, "cuda": 2048}


def batch_size(session: Session) -> int:
    """Return how many images to prepare and score together: the most that a tuning method takes."""
    tuning = [method for method in session.methods if method.engine is not None]
    return max(_images_at_once(session, method) for method in tuning or session.methods)


def _images_at_once(session: Session, method: Method) -> int:
    """The option, or what the method's engine takes; never more pictures than fit."""
    wanted = session.config.runtime.batch_size
    if wanted != "auto":
        return wanted
    device = session.model.device
    fitting = view_budget(device) // session.view_bytes(session.views)
    most = max(1, min(_MOST_IMAGES[device.type], fitting))
    return most if method.engine is None else min(most, images_at_once(method.engine, device))


def score(
    session: Session, features: Mapping[str, Tensor], methods: Sequence[Method]
) -> dict[str, Scores]:
    """Compute the scores of every method, and zero-shot scores under the name ``""``.

    Args:
        session: The run.
        features: Name of a view -> (B, K, D), see `encode_views`.
        methods: The session's methods for this shard, see `Method.for_shard`.

    Raises:
        ConfigError: A method fails or breaks the rules, see `seraser_core.methods.calls`.
        TransientError: The device's memory is too small even for one image.
    """
    started = time.perf_counter()
    context, given = session.context, Shared()
    for view in features.values():
        given.add("the features", view)
    untouched = cosine_logits(features["image"][:, 0], context.class_features, context.logit_scale)
    # Here and below, copying to the CPU is what waits for the device.
    scores = {"": replace(_to_cpu(Scores(untouched)), seconds=_since(started))}
    for method in methods:
        started = time.perf_counter()
        begin_peak(session.model.device)

        def predict(part: slice, method: Method = method) -> Scores:
            some = {name: views[part] for name, views in features.items()}
            return _to_cpu(calls.predict(method, some, untouched.shape[1], [given, context.shared]))

        sizes = session.batch_sizes
        sizes.setdefault(method.id, _images_at_once(session, method))
        parts = in_batches(predict, len(untouched), sizes, method.id, not method.stateful)
        for part in parts:
            calls.check_alike(method.id, part, session.tells)
        peak = peak_bytes(session.model.device)
        scores[method.id] = replace(_join(parts), seconds=_since(started), peak_bytes=peak)
    return scores


def in_batches(
    work: Callable[[slice], T],
    count: int,
    sizes: dict[str, int],
    name: str,
    repeatable: bool = True,
) -> list[T]:
    """Do `work` on `count` images, at most ``sizes[name]`` at once.

    When the device's memory runs out, what is kept for speed alone is given back. If that is not
    enough, that number is halved, for the rest and for all later calls.

    Args:
        work: Given which images.
        count: Their number.
        sizes: Name of a stage -> images at once; changed.
        name: Name of this one.
        repeatable: Whether `work` can be done again on the same images, having failed.

    Raises:
        TransientError: Not even one image fits, or `work` is not repeatable.
    """
    parts: list[T] = []
    start, released = 0, False
    while start < count:
        stop = min(count, start + sizes[name])
        try:
            parts.append(work(slice(start, stop)))
            start, released = stop, False
            continue
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error)
        # Outside the handler: the exception would keep the tensors that filled the memory.
        release_memory()
        if repeatable and not released:
            released = True
            continue
        released = False
        if stop - start == 1:
            raise TransientError(f"{name}: out of memory with a single image: {reason}")
        sizes[name] = (stop - start) // 2
        if not repeatable:
            raise TransientError(f"{name}: out of memory; its state is lost: {reason}")
        logger.warning(
            "%s: out of memory with %d images at once; going on with %d",
            name,
            stop - start,
            sizes[name],
        )
    return parts


def encode_views(session: Session, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Image features of all views, each picture encoded once: name -> (B, K, D)."""
    pictures = torch.cat([view.flatten(0, 1) for view in views.values()])
    sizes = session.batch_sizes
    sizes.setdefault(_ENCODE, PICTURES_AT_ONCE[session.model.device.type])
    encode = session.model.encode_pixels
    encoded = torch.cat(
        in_batches(lambda part: encode(pictures[part]), len(pictures), sizes, _ENCODE)
    )
    parts = encoded.split([view.shape[0] * view.shape[1] for view in views.values()])
    return {
        name: part.unflatten(0, view.shape[:2])
        for (name, view), part in zip(views.items(), parts, strict=True)
    }


def as_numpy(tensor: Tensor | None) -> np.ndarray | None:
    """The float32 array of a CPU tensor, or None."""
    return None if tensor is None else tensor.detach().float().numpy()


def _since(started: float) -> float:
    return time.perf_counter() - started


def _to_cpu(scores: Scores) -> Scores:
    """Return copies on the CPU: a method may use its tensors again for the next images."""

    def copied(tensor: Tensor) -> Tensor:
        return tensor.detach().to("cpu", torch.float32, copy=True)

    first, last = (None if x is None else copied(x) for x in (scores.loss_first, scores.loss_last))
    return Scores(copied(scores.logits), first, last, scores.steps)


def _join(parts: Sequence[Scores]) -> Scores:
    def cat(name: str) -> Tensor | None:
        tensors = [getattr(part, name) for part in parts]
        return None if tensors[0] is None else torch.cat(tensors)

    return replace(
        parts[0],
        logits=torch.cat([part.logits for part in parts]),
        loss_first=cat("loss_first"),
        loss_last=cat("loss_last"),
    )
