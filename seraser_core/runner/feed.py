"""Feeding the model: fetch, decode and view images in threads, ahead of the model, in order."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import psutil
import torch
from torch import Tensor

from seraser_core.auxiliary import RELEVANCE_VIEWS, Picture, make_view
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError, HangError, ItemError, TransientError
from seraser_core.models.device import stream
from seraser_core.proxy_check import check_proxy
from seraser_core.results.pictures import CONSTANT_STD, PictureFacts
from seraser_core.runner.masks import segment_mask
from seraser_core.runner.session import Session
from seraser_core.runner.threads import DaemonPool
from seraser_core.sources.boxes import box_mask, in_pixels
from seraser_core.sources.fetch import fetch_image, fetch_mask, of_the_mask
from seraser_core.sources.isolated import Decoder, IsolatedDecoder, PlainDecoder
from seraser_core.steps import reached

_QUEUE_BYTES = 512 * 2**20
_FETCHES_AT_ONCE = 32
"""Enough to hide an object store's tens of milliseconds; its connections are as many."""
_UNKNOWN_FILE_BYTES = 2 * 2**20
_UNREAD_PER_THREAD = 2
"""Files that are asked for beside those that are being read: of these, the sizes are not known."""
_MOST_AHEAD = 1024
_WEB = ("http://", "https://")
"""Of many servers, one that is gone must not hold back the images of all others."""
_REDUCED_SIDES = 2
"""Sides of the model's input that a reduced image keeps at least."""


@dataclass
class Batch:
    """Images that are scored together, and those beside them that cannot be.

    Attributes:
        items: Places in the plan of the B good images.
        sizes: Their width and height.
        facts: What was seen of them.
        views: View name -> (B, K, 3, H, W) uint8 on the model's device; empty when B is 0.
        errors: Places in the plan of the others -> what is wrong with them.
    """

    items: list[int]
    sizes: list[tuple[int, int]]
    facts: list[PictureFacts]
    views: dict[str, Tensor]
    errors: dict[int, ItemError]
    _copied: torch.cuda.Event | None = None

    def __len__(self) -> int:
        """Images, good or not."""
        return len(self.items) + len(self.errors)

    def wait(self) -> None:
        """Let the device's work from here on see the views, which may still be on their way."""
        if self._copied is not None:
            for view in self.views.values():
                current = torch.cuda.current_stream(view.device)
                current.wait_event(self._copied)
                view.record_stream(current)


@dataclass
class FeedTimes:
    """Seconds spent.

    Attributes:
        fetch_s, decode_s: Summed over the threads that do it.
        fetch_wait_s, decode_wait_s: In which the next image in order was not there yet.
    """

    fetch_s: float = 0.0
    decode_s: float = 0.0
    fetch_wait_s: float = 0.0
    decode_wait_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, name: str, since: float) -> None:
        """Add the seconds that passed since `since` (of `time.perf_counter`)."""
        with self._lock:
            setattr(self, name, getattr(self, name) + time.perf_counter() - since)


class Feed:
    """The batches of some images in order, the first of which are made ready at once.

    Batches have `size` good images each (the last one fewer), whatever is wrong with others, so
    bad images never change what the good ones are computed with.

    Args:
        session: What the images are made ready for.
        items: Rows of the plan.
        size: Good images of a batch.
        views: Names of the views; by default those of the session. Of relevance, only the view
            ``image`` is made here.
        isolated: Decode in processes of their own, whatever the option says.
        last: There is no further attempt: what a web server does not give is an error row.

    Attributes:
        times: Where the time goes.
    """

    def __init__(
        self,
        session: Session,
        items: Sequence[dict[str, Any]],
        size: int,
        views: Sequence[str] | None = None,
        isolated: bool = False,
        last: bool = False,
    ) -> None:
        self.times = FeedTimes()
        # Masks are made in the threads that decode, and may take: no time is kept there.
        isolated |= session.segmenter is not None
        isolated |= session.config.runtime.decoding == "processes"
        decoder = session.isolated_decoder() if isolated else PlainDecoder()
        wanted = session.views if views is None else views
        self._views = tuple(name for name in wanted if name not in RELEVANCE_VIEWS)
        self._size = size
        self._device = session.model.device
        self._copies = stream("copy", self._device) if self._device.type == "cuda" else None
        self._closed = False
        self._samples = _samples(session, items, self._views, self.times, decoder, last)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batch")
        self._next = self._pool.submit(self._collect)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._samples.close()

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
        good: list[_Sample] = []
        errors: dict[int, ItemError] = {}
        for sample in self._samples:
            if sample.error is None:
                good.append(sample)
            else:
                errors[sample.item_index] = sample.error
            if len(good) == self._size or self._closed:
                break
        if not good and not errors:
            return None
        facts = [s.facts for s in good]
        batch = Batch([s.item_index for s in good], [s.size for s in good], facts, {}, errors)
        if good:
            views = {n: _stack([s.views[n] for s in good]) for n in self._views}
            batch.views, batch._copied = self._to_device(views)
        return batch

    def _to_device(
        self, views: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], torch.cuda.Event | None]:
        """Copy beside the device's work: from pinned memory, on a stream of its own."""
        if self._copies is None:
            return views, None
        with torch.cuda.stream(self._copies):
            moved = {
                name: view.pin_memory().to(self._device, non_blocking=True)
                for name, view in views.items()
            }
            return moved, self._copies.record_event()


@dataclass
class _Sample:
    """One image of (width, height) with its views, (K, 3, H, W) uint8 each, or its fault."""

    item_index: int
    views: dict[str, Tensor]
    size: tuple[int, int] = (0, 0)
    facts: PictureFacts = field(default_factory=PictureFacts)
    error: ItemError | None = None


def decode_threads(session: Session) -> int:
    """Threads that decode: the option, or one per core and two."""
    wanted = session.config.runtime.decode_threads
    if wanted != "auto":
        return wanted
    return min(64, len(psutil.Process().cpu_affinity() or [0]) + 2)


def fetch_threads(session: Session) -> int:
    """Files that are read at once."""
    wanted = session.config.runtime.fetch_threads
    return _FETCHES_AT_ONCE if wanted == "auto" else wanted


def _samples(
    session: Session,
    items: Sequence[dict[str, Any]],
    views: tuple[str, ...],
    times: FeedTimes,
    decoder: Decoder,
    last: bool,
) -> Generator[_Sample]:
    """The samples of `items` in order; those ahead take a bounded number of bytes."""
    waiting: deque[_Waiting] = deque()
    rest = deque(items)
    decoded = session.view_bytes(views)
    most_unread = _UNREAD_PER_THREAD * fetch_threads(session)
    fetchers = ThreadPoolExecutor(fetch_threads(session), thread_name_prefix="fetch")
    decoders = DaemonPool(decode_threads(session), "decode")
    ended = False
    try:
        while rest or waiting:
            while rest and (
                not waiting
                or (
                    len(waiting) < _MOST_AHEAD
                    and sum(not one.files.done() for one in waiting) < most_unread
                    and sum(one.bytes() for one in waiting) < _QUEUE_BYTES
                )
            ):
                item = rest.popleft()
                files = fetchers.submit(_fetch, session, item, views, times, last)
                sample = decoders.submit(_decode, session, item, views, files, times, decoder)
                planned = int(item["size"] or _UNKNOWN_FILE_BYTES)
                waiting.append(_Waiting(item["image"], files, sample, planned, decoded))
            first = waiting.popleft()
            mark = time.perf_counter()
            first.files.exception()
            times.add("fetch_wait_s", mark)
            mark = time.perf_counter()
            try:
                ready = first.sample.result(_seconds(session, decoder))
            except TimeoutError:
                raise HangError(f"the decoding of {first.image} does not come to an end") from None
            times.add("decode_wait_s", mark)
            del first  # or the pictures would stay until the next ones are there
            yield ready
        ended = True
    finally:
        fetchers.shutdown(wait=True, cancel_futures=True)
        decoders.shutdown(wait=ended)  # else, one of them may hang


def _seconds(session: Session, decoder: Decoder) -> float | None:
    """What is waited for the decoding of an image whose files are there."""
    if isinstance(decoder, IsolatedDecoder):  # it keeps the time itself
        return None
    return session.config.runtime.image_timeout


@dataclass
class _Files:
    """The bytes of an image and of its mask, or what is wrong with them."""

    image: bytes = b""
    mask: bytes | None = None
    error: ItemError | None = None


@dataclass
class _Waiting:
    """An image on its way.

    Attributes:
        image: Its location.
        files: Its files.
        sample: Its views.
        planned: Bytes that its files were thought to have.
        decoded: Bytes of its views.
    """

    image: str
    files: Future[_Files]
    sample: Future[_Sample]
    planned: int
    decoded: int

    def bytes(self) -> int:
        """What it takes of the memory: its files, until it is decoded, and its views."""
        if self.sample.done():
            return self.decoded
        if not self.files.done() or self.files.exception() is not None:
            return self.planned + self.decoded
        files = self.files.result()
        return len(files.image) + len(files.mask or b"") + self.decoded


def _fetch(
    session: Session, item: dict[str, Any], views: tuple[str, ...], times: FeedTimes, last: bool
) -> _Files:
    dataset = session.config.dataset
    mark = time.perf_counter()
    try:
        image = fetch_image(item, dataset)
        reached("fetched")
        wanted = item["mask"] and any(name in _NEEDS_MASK for name in views)
        return _Files(image, _fetch_mask(item, dataset) if wanted else None)
    except ItemError as error:
        return _Files(error=error)
    except TransientError as error:
        if last and item["image"].startswith(_WEB):
            check_proxy(item["image"], fresh=True)  # or it would be the fault of every image
            return _Files(error=ItemError("fetch", "unreachable", str(error)))
        raise
    except (ConfigError, MemoryError):  # such as a proxy that is gone: no image is to blame
        raise
    except Exception as error:  # as strange as they come, it must not stop ten million others
        return _Files(error=_unexpected("fetch", error))
    finally:
        times.add("fetch_s", mark)


def _fetch_mask(item: dict[str, Any], dataset: DatasetOptions) -> bytes:
    with of_the_mask():
        return fetch_mask(item, dataset)


def _decode(
    session: Session,
    item: dict[str, Any],
    wanted: tuple[str, ...],
    fetched: Future[_Files],
    times: FeedTimes,
    decoder: Decoder,
) -> _Sample:
    sample = _sample(session, item, wanted, fetched.result(), times, decoder)
    reached("decoded")
    return sample


def _sample(
    session: Session,
    item: dict[str, Any],
    wanted: tuple[str, ...],
    files: _Files,
    times: FeedTimes,
    decoder: Decoder,
) -> _Sample:
    index = int(item["item_index"])
    if files.error is not None:
        return _Sample(index, {}, error=files.error)
    mark = time.perf_counter()
    try:
        picture = _picture(session, item, wanted, files, decoder)
        views = {
            name: _stack(
                [
                    session.model.preprocessing.resize(view)
                    for view in make_view(name, picture, session.config.seed, item["item_id"])
                ]
            )
            for name in wanted
        }
        return _Sample(index, views, picture.image.size, _facts(picture, views))
    except ItemError as error:
        return _Sample(index, {}, error=error)
    except (TransientError, MemoryError):
        raise
    except Exception as error:  # one strange picture must not stop ten million others
        return _Sample(index, {}, error=_unexpected("decode", error))
    finally:
        times.add("decode_s", mark)


def _facts(picture: Picture, views: dict[str, Tensor]) -> PictureFacts:
    regions = {name: getattr(picture, name) for name in ("mask", "box", "segment")}
    shares = {
        name: float(np.count_nonzero(region) / region.size)
        for name, region in regions.items()
        if region is not None
    }
    if "image" not in views:
        return PictureFacts(foregrounds=shares)
    # Every other pixel of what the model sees will do.
    seen = views["image"][0, :, ::2, ::2].numpy().reshape(3, -1)
    constant = seen.std(axis=1, dtype=np.float32).max() < CONSTANT_STD
    return PictureFacts(bool(constant), shares)


def _stack(tensors: list[Tensor]) -> Tensor:
    # By NumPy: with torch, the threads here would have teams that slow those of the model.
    return torch.from_numpy(np.stack([tensor.numpy() for tensor in tensors]))


def _unexpected(stage: Literal["fetch", "decode"], error: Exception) -> ItemError:
    return ItemError(stage, "unexpected", f"{type(error).__name__}: {error}")


_NEEDS_MASK = ("mask_background", "mask_foreground", "augmented_background")
_NEEDS_BOX = ("box_background", "box_foreground")
_NEEDS_SEGMENT = ("segment_background", "segment_foreground")


def _picture(
    session: Session,
    item: dict[str, Any],
    views: tuple[str, ...],
    files: _Files,
    decoder: Decoder,
) -> Picture:
    limits = session.config.dataset.limits
    if session.config.dataset.decode == "reduced":
        least = _REDUCED_SIDES * max(session.model.preprocessing.size)
        image, scale = decoder.reduced(files.image, limits, least)
    else:
        image, scale = decoder.image(files.image, limits), 1.0
    region = box = segment = None
    if any(name in _NEEDS_MASK for name in views):
        if files.mask is None:
            raise ItemError("validate", "missing_mask", "the table has no mask for this image")
        region = decoder.mask(files.mask, image.size, limits)
    if any(name in _NEEDS_BOX for name in views):
        if item["box"] is None:
            raise ItemError("validate", "missing_box", "the table has no box for this image")
        form = session.config.dataset.box_format
        box = box_mask(in_pixels(item["box"], form, image.size, scale), image.size)
    if any(name in _NEEDS_SEGMENT for name in views):
        segment = segment_mask(session, item, image)
    return Picture(image, region, box, segment)
