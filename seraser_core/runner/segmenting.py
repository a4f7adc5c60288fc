"""The segmenter of a process: loaded once, and used by one thread."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image

from seraser_core.auxiliary.segment import Segmenter
from seraser_core.config.auxiliary import SegmentOptions


class SegmentingThread:
    """A segmenter with one thread of its own, so that torch's threads and memory belong to one.

    Attributes:
        identity: See `Segmenter.identity`.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self.identity = segmenter.identity
        self._segmenter = segmenter
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="segment")

    def mask(self, image: Image.Image) -> np.ndarray:
        """See `Segmenter.mask`; others wait for their turn."""
        return self._pool.submit(self._segmenter.mask, image).result()


_cache: dict[tuple[SegmentOptions, tuple[str, ...], torch.device], SegmentingThread] = {}
_lock = threading.Lock()


def get_segmenter(
    options: SegmentOptions, classes: list[str], device: torch.device
) -> SegmentingThread:
    """The segmenter of `options`, loaded at most once per process (only the last one is kept).

    Raises:
        ConfigError: See `Segmenter`.
    """
    key = (options, tuple(classes), device)
    with _lock:
        if key not in _cache:
            _cache.clear()
            gc.collect()  # or it would keep its memory beside the next one's
            _cache[key] = SegmentingThread(Segmenter(options, classes, device))
        return _cache[key]
