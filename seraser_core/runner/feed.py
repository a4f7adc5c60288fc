"""Feeding the model: fetch, decode and view images in threads, ahead of the model, in order."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psutil
import torch
from torch import Tensor

from seraser_core.auxiliary import Picture, make_view
from seraser_core.config.options import LimitOptions
from seraser_core.errors import ItemError, TransientError
from seraser_core.models.loading import ClipModel
from seraser_core.runner.session import Session
from seraser_core.sources.decode import box_mask, decode_image, decode_mask
from seraser_core.sources.fetch import fetch

_QUEUE_BYTES = 512 * 2**20


@dataclass
class Sample:
    """One image of a shard, ready for the model, or what is wrong with it.

    Attributes:
        item_index: Its place in the plan.
        views: View name -> (K, 3, H, W) float32; empty when `error` is set.
    """

    item_index: int
    views: dict[str, Tensor]
    error: ItemError | None = None


@dataclass
class FeedTimes:
    """Seconds spent, summed over threads."""

    fetch_s: float = 0.0
    decode_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, fetch_s: float, decode_s: float) -> None:
        """Add one image's seconds."""
        with self._lock:
            self.fetch_s += fetch_s
            self.decode_s += decode_s


def samples(session: Session, items: list[dict[str, Any]], times: FeedTimes) -> Iterator[Sample]:
    """The samples of `items` in order, at most a bounded number of them ready ahead.

    Raises:
        TransientError: An image could not be fetched for a reason that may pass.
    """
    threads = decode_threads(session)
    ahead = max(2 * threads, min(256, _QUEUE_BYTES // _sample_bytes(session)))
    waiting: deque[Future[Sample]] = deque()
    rest = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        try:
            for item in rest:
                waiting.append(pool.submit(_load, session, item, times))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def decode_threads(session: Session) -> int:
    """Threads that fetch and decode: the option, or one per core and two (fetching waits)."""
    wanted = session.config.runtime.decode_threads
    if wanted != "auto":
        return max(1, wanted)
    return min(32, len(psutil.Process().cpu_affinity() or [0]) + 2)


def _sample_bytes(session: Session) -> int:
    side = session.model.preprocess_cfg.size
    height, width = (side, side) if isinstance(side, int) else side
    pictures = sum(15 if name.startswith("augmented") else 1 for name in session.views)
    return 4 * 3 * height * width * pictures


def _load(session: Session, item: dict[str, Any], times: FeedTimes) -> Sample:
    index = int(item["item_index"])
    dataset = session.config.dataset
    start = time.perf_counter()
    fetched = start
    try:
        limits, options = dataset.limits, dataset.storage_options
        data = fetch(item["image"], options, limits)
        needs_mask = any(name in _NEEDS_MASK for name in session.views)
        mask = fetch(item["mask"], options, limits) if needs_mask and item["mask"] else None
        fetched = time.perf_counter()
        picture = _decode(session, item, data, mask, limits)
        views = {
            name: _view(session.model, name, picture, session.config.seed, item["item_id"])
            for name in session.views
        }
        return Sample(index, views)
    except ItemError as error:
        return Sample(index, {}, error)
    except (TransientError, MemoryError):
        raise
    except Exception as error:  # one strange picture must not stop ten million others
        return Sample(
            index, {}, ItemError("decode", "unexpected", f"{type(error).__name__}: {error}")
        )
    finally:
        times.add(fetched - start, time.perf_counter() - fetched)


_NEEDS_MASK = ("mask_background", "mask_foreground", "augmented_background")
_NEEDS_BOX = ("box_background", "box_foreground")


def _decode(
    session: Session,
    item: dict[str, Any],
    data: bytes,
    mask: bytes | None,
    limits: LimitOptions,
) -> Picture:
    image = decode_image(data, limits)
    region = box = None
    if any(name in _NEEDS_MASK for name in session.views):
        if mask is None:
            raise ItemError("validate", "missing_mask", "the table has no mask for this image")
        region = decode_mask(mask, image.size, limits)
    if any(name in _NEEDS_BOX for name in session.views):
        if item["box"] is None:
            raise ItemError("validate", "missing_box", "the table has no box for this image")
        box = box_mask(item["box"], image.size)
    return Picture(image, region, box)


def _view(model: ClipModel, name: str, picture: Picture, seed: int, item_id: str) -> Tensor:
    return torch.stack([model.preprocess(p) for p in make_view(name, picture, seed, item_id)])
