"""Batches for the model: pictures made ready ahead of it, stacked and copied to its device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from seraser_core.config.options import RuntimeOptions
from seraser_core.cores import usable_cores
from seraser_core.errors import ItemError
from seraser_core.kinds import View
from seraser_core.models.device import stream
from seraser_core.results.picture_sums import PictureFacts
from seraser_core.runner.attempt import Attempt
from seraser_core.runner.clock import Clock
from seraser_core.runner.lookahead import Bounds, Lookahead
from seraser_core.runner.pictures import Pictures, Sample, Sampled
from seraser_core.runner.session import Session
from seraser_core.runner.stacking import PART_BYTES, Stack

MOST_BYTES = 512 * 2**20
"""Memory for files and views that wait for the model."""
_MOST_IMAGES = 1024
_FETCHES_AT_ONCE = 32
"""Enough to hide an object store's tens of milliseconds; its connections are as many."""
_UNFETCHED_PER_THREAD = 2
"""Files of yet unknown size that may be requested at once."""


@dataclass
class Batch:
    """Images that are scored together, and the failed ones among them.

    Attributes:
        items: Places in the plan of the B good images.
        sizes: Their width and height.
        facts: Statistics of the pictures.
        views: View name -> (B, K, 3, H, W) uint8 on the model's device; empty when B is 0.
        extra: The same of views that only the images of the run's sample have.
        thumbnails: item_index of such an image -> its thumbnails, see `Sample`.
        errors: Places in the plan of the others -> what is wrong with them.
    """

    items: list[int]
    sizes: list[tuple[int, int]]
    facts: list[PictureFacts]
    views: dict[str, Tensor]
    errors: dict[int, ItemError]
    extra: dict[str, Tensor] = field(default_factory=dict)
    thumbnails: dict[int, Tensor] = field(default_factory=dict)
    _copied: torch.cuda.Event | None = None

    def __len__(self) -> int:
        """Images, good or not."""
        return len(self.items) + len(self.errors)

    def wait(self) -> None:
        """Make later work of the device wait for the views, which may still be being copied."""
        if self._copied is not None:
            for view in (*self.views.values(), *self.extra.values()):
                current = torch.cuda.current_stream(view.device)
                current.wait_event(self._copied)
                view.record_stream(current)


class Feed:
    """The batches of some images, in order; preparing them begins in ``__enter__``.

    Batches have `size` good images each (the last one fewer), whatever is wrong with others, so
    bad images never change what the good ones are computed with.

    Args:
        session: The run.
        items: Rows of the plan.
        size: Good images of a batch.
        attempt: The attempt at their shard.
        views: The views; by default those of the session. Those that are made where the model is
            are left out.
        clock: Counts the seconds of `Lookahead` and `Pictures`.
        sampled: Images of the run's sample.
    """

    def __init__(
        self,
        session: Session,
        items: Sequence[dict[str, Any]],
        size: int,
        attempt: Attempt,
        views: Sequence[View] | None = None,
        clock: Clock | None = None,
        sampled: Sampled | None = None,
    ) -> None:
        wanted = session.views if views is None else views
        self._views = tuple(view for view in wanted if view.make)
        self._size, self._left = size, len(items)
        self._device = session.model.device
        self._copies: torch.cuda.Stream | None = None
        self._closed = False
        clock = clock or Clock()
        self._sampled = sampled or Sampled()
        self._pictures = Pictures(session, self._views, attempt, clock, self._sampled)
        self._part = max(1, PART_BYTES // max(1, self._pictures.result_bytes))
        bounds = _bounds(session.config.runtime)
        self._lookahead = Lookahead(items, self._pictures, bounds, clock)

    def __enter__(self) -> Self:
        if self._device.type == "cuda":
            self._copies = stream("copy", self._device)
        self._samples = iter(self._lookahead.__enter__())
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batch")
        self._next = self._pool.submit(self._collect)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._lookahead.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[Batch]:
        """The batches; while one is used, the next is made.

        Raises:
            HangError: The decoding of an image does not come to an end.
            TransientError: An image could not be fetched for a reason that may pass.
        """
        while (batch := self._next.result()) is not None:
            self._next = self._pool.submit(self._collect)
            yield batch

    def _collect(self) -> Batch | None:
        batch = Batch([], [], [], {}, {})
        room = min(self._size, self._left)
        views = Stack(self._views, room, self._device, self._copies)
        chosen: list[Sample] = []
        part: list[Sample] = []
        for sample in self._samples:
            self._left -= 1
            if sample.error is None:
                part.append(sample)
                batch.items.append(sample.item_index)
                batch.sizes.append(sample.size)
                batch.facts.append(sample.facts)
                if sample.item_index in self._sampled.indices:
                    chosen.append(sample)
            else:
                batch.errors[sample.item_index] = sample.error
            if len(part) == self._part:
                self._move(part, views)
                part = []
            if len(batch.items) == self._size or self._closed:
                break
        if not len(batch):
            return None
        self._move(part, views)
        batch.views = views.views()
        if chosen:
            extra = Stack(self._sampled.views, len(chosen), self._device, self._copies)
            extra.add([sample.extra for sample in chosen])
            batch.extra = extra.views()
            small = {sample.item_index: sample.thumbnails for sample in chosen}
            batch.thumbnails = {index: x for index, x in small.items() if x is not None}
        if self._copies is not None:
            batch._copied = self._copies.record_event()
        return batch

    def _move(self, part: list[Sample], views: Stack) -> None:
        views.add([sample.views for sample in part])
        self._pictures.take_back(part)


def _bounds(runtime: RuntimeOptions) -> Bounds:
    """The options; by default, one thread that decodes per core and two."""
    cores = len(usable_cores())
    fetch, decode = runtime.fetch_threads, runtime.decode_threads
    fetch_threads = _FETCHES_AT_ONCE if fetch == "auto" else fetch
    return Bounds(
        fetch_threads=fetch_threads,
        decode_threads=min(64, cores + 2) if decode == "auto" else decode,
        unfetched=_UNFETCHED_PER_THREAD * fetch_threads,
        bytes=MOST_BYTES,
        items=_MOST_IMAGES,
    )
