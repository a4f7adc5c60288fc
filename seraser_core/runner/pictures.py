"""Preparing planned items: fetch the files, decode the picture, make the views."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from seraser_core.auxiliary import Picture, make_view
from seraser_core.errors import ConfigError, ItemError, TransientError
from seraser_core.kinds import BOX, MASK, SEGMENT, Region, View
from seraser_core.proxy_check import check_proxy
from seraser_core.results.picture_sums import CONSTANT_STD, PictureFacts
from seraser_core.runner.attempt import Attempt
from seraser_core.runner.clock import Clock
from seraser_core.runner.mask_making import segment_mask
from seraser_core.runner.session import Session
from seraser_core.runner.thumbnails import FailedPictures
from seraser_core.sources.boxes import box_mask, in_pixels
from seraser_core.sources.fetch import of_the_mask
from seraser_core.sources.isolated import Decoder, PlainDecoder
from seraser_core.steps import reached

_UNKNOWN_FILE_BYTES = 2 * 2**20
_WEB = ("http://", "https://")
"""An unreachable host costs only its own images."""
_THUMBNAIL = (128, 128)
_REDUCED_SIDES = 2
"""Sides of the model's input that a reduced image keeps at least."""


@dataclass(slots=True)
class Files:
    """The bytes of an image and of its mask, and the error if one of them cannot be fetched."""

    image: bytes = b""
    mask: bytes | None = None
    error: ItemError | None = None


@dataclass(frozen=True)
class Sampled:
    """Images of a run's sample, and what they have beside the others.

    Attributes:
        indices: Their item_index.
        views: Their further views, of foregrounds that the other views need, too.
        region: Foreground that tells the sides of their thumbnails.
        failed: Where pictures of images that fail are kept, of the whole run; None if they are not.
    """

    indices: Collection[int] = ()
    views: tuple[View, ...] = ()
    region: Region | None = None
    failed: FailedPictures | None = None


@dataclass(slots=True)
class Sample:
    """An image that is ready for the model, or its error.

    Attributes:
        item_index: Its place in the plan.
        views: View name -> (K, 3, H, W) uint8, in `memory`.
        extra: The same of the further views of images of the run's sample.
        memory: Give it back with `Pictures.take_back`; None where there is an error.
        thumbnails: (3, 3, h, w) uint8, at most 128 pixels: the image, its background alone and its
            foreground alone; None of images that are not in the run's sample, or if the foreground
            is only found later.
        size: Width and height of the picture.
        facts: Statistics of the picture.
        error: Its fault; None if it can be used.
    """

    item_index: int
    views: dict[str, np.ndarray] = field(default_factory=dict)
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    memory: np.ndarray | None = None
    thumbnails: Tensor | None = None
    size: tuple[int, int] = (0, 0)
    facts: PictureFacts = field(default_factory=PictureFacts)
    error: ItemError | None = None


class Pictures:
    """Makes samples of the images of a shard, as the stages of a `Lookahead`.

    Args:
        session: The run.
        views: The views, none of which is made where the model is.
        attempt: The attempt at the shard.
        clock: Counts ``fetch_s``, ``decode_s`` and ``masks_s``, summed over threads.
        sampled: Images of the run's sample.

    Attributes:
        result_bytes: Bytes of the views of one image.
        decode_timeout: Seconds that decoding may take; None if the decoder enforces its own.
    """

    def __init__(
        self,
        session: Session,
        views: Sequence[View],
        attempt: Attempt,
        clock: Clock,
        sampled: Sampled,
    ) -> None:
        self._session, self._views, self._attempt, self._clock = session, views, attempt, clock
        self._free: deque[np.ndarray] = deque()
        self._sampled = sampled
        self._needs = {view.region for view in views}
        runtime = session.config.runtime
        isolated = attempt.isolated or runtime.decoding == "processes"
        # Segment masks are made in the threads that decode, and may take any time.
        isolated |= session.segmenter is not None
        self._decoder: Decoder = session.isolated_decoder() if isolated else PlainDecoder()
        self.result_bytes = session.view_bytes([*views, *sampled.views])
        self.decode_timeout = None if isolated else runtime.image_timeout

    def name(self, item: dict[str, Any]) -> str:
        """Location of an item's image."""
        return str(item["image"])

    def expected_bytes(self, item: dict[str, Any]) -> int:
        """Size of the image's file as planned, or a guess."""
        return int(item["size"] or _UNKNOWN_FILE_BYTES)

    def data_bytes(self, data: Files) -> int:
        """Size of the files of an image."""
        return len(data.image) + len(data.mask or b"")

    def fetch(self, item: dict[str, Any]) -> Files:
        """Fetch the files of a planned item.

        Raises:
            TransientError: A fault that may pass.
            ConfigError: Nothing can be fetched here; no image is to blame.
            MemoryError: The memory is full.
        """
        with self._clock.on("fetch_s"):
            try:
                return self._fetch(item)
            except ItemError as error:
                return Files(error=error)
            except TransientError as error:
                if self._attempt.last and item["image"].startswith(_WEB):
                    # Without the proxy, every image would be an error.
                    check_proxy(item["image"], fresh=True)
                    return Files(error=ItemError("fetch", "unreachable", str(error)))
                raise
            except (ConfigError, MemoryError):
                raise
            except Exception as error:  # whatever it is, it must not stop the others
                return Files(error=_unexpected("fetch", error))

    def _fetch(self, item: dict[str, Any]) -> Files:
        images = self._session.images
        image = images.image(item)
        reached("fetched")
        if not item["mask"] or MASK not in self._needs:
            return Files(image)
        try:
            with of_the_mask():
                return Files(image, images.mask(item))
        except ItemError as error:
            return Files(image, error=error)

    def decode(self, item: dict[str, Any], data: Files) -> Sample:
        """Make the views of an item from its files.

        Raises:
            TransientError: A fault that may pass.
            MemoryError: The memory is full.
        """
        index = int(item["item_index"])
        with self._clock.on("decode_s"):
            if data.error is not None:
                sample = self._failed(item, data.error, data)
            else:
                sample = self._sample(index, item, data)
        reached("decoded")
        return sample

    def _sample(self, index: int, item: dict[str, Any], files: Files) -> Sample:
        image = None
        try:
            image, scale = self._image(files)
            picture = self._picture(item, image, scale, files)
            memory, extra, thumbnails = self._memory(), {}, None
            views = self._make(self._views, picture, item["item_id"], memory)
            if index in self._sampled.indices:
                more = self._new_memory(self._sampled.views)
                extra = self._make(self._sampled.views, picture, item["item_id"], more)
                thumbnails = _thumbnails(picture, self._sampled.region)
            facts = _facts(picture, views | extra)
            return Sample(index, views, extra, memory, thumbnails, picture.image.size, facts)
        except ItemError as error:
            return self._failed(item, error, files, image)
        except (TransientError, MemoryError):
            raise
        except Exception as error:  # one strange picture must not stop ten million others
            return self._failed(item, _unexpected("decode", error), files, image)

    def _failed(
        self, item: dict[str, Any], error: ItemError, files: Files, image: Image.Image | None = None
    ) -> Sample:
        """The sample of an image that cannot be used; a small picture of it may be kept."""
        index, item_id, failed = int(item["item_index"]), item["item_id"], self._sampled.failed
        if failed is not None and failed.wants(item_id, error.code):
            if files.image and files.error is not None:  # its mask could not be fetched
                image = self._decodable(files)
            if image is not None:
                failed.add(index, item_id, error, image)
        return Sample(index, error=error)

    def _decodable(self, files: Files) -> Image.Image | None:
        try:
            return self._image(files)[0]
        except (TransientError, MemoryError):
            raise
        except Exception:  # it has another error already
            return None

    def _image(self, files: Files) -> tuple[Image.Image, float]:
        """Decode an image; also by how much it was reduced."""
        dataset = self._session.config.dataset
        if dataset.decode == "reduced":
            least = _REDUCED_SIDES * max(self._session.model.preprocessing.size)
            return self._decoder.reduced(files.image, dataset.limits, least)
        return self._decoder.image(files.image, dataset.limits), 1.0

    def _picture(
        self, item: dict[str, Any], image: Image.Image, scale: float, files: Files
    ) -> Picture:
        session, dataset = self._session, self._session.config.dataset
        mask = box = segment = None
        if MASK in self._needs:
            if files.mask is None:
                raise ItemError("validate", "missing_mask", "no mask is given for this image")
            mask = self._decoder.mask(files.mask, image.size, dataset.limits)
        if BOX in self._needs:
            if item["box"] is None:
                raise ItemError("validate", "missing_box", "no box is given for this image")
            corners = in_pixels(item["box"], dataset.box_format, image.size, scale)
            box = box_mask(corners, image.size)
        if SEGMENT in self._needs:
            segment = segment_mask(session, item, image, self._clock)
        return Picture(image, mask, box, segment)

    def _make(
        self, views: Sequence[View], picture: Picture, item_id: str, memory: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Make views in `memory`, (pictures of all views, 3, H, W) uint8."""
        resize_into = self._session.model.preprocessing.resize_into
        made, start = {}, 0
        for view in views:
            made[view.name] = place = memory[start : start + view.count]
            images = make_view(view, picture, self._session.config.seed, item_id)
            for pixels, image in zip(place, images, strict=True):
                resize_into(pixels, image)
            start += view.count
        return made

    def take_back(self, samples: Sequence[Sample]) -> None:
        """Take the memory of samples whose views are copied, for later ones.

        Memory that comes from the system is slow to touch, and all threads wait for it.
        """
        self._free.extend(sample.memory for sample in samples if sample.memory is not None)

    def _memory(self) -> np.ndarray:
        try:
            return self._free.pop()
        except IndexError:
            return self._new_memory(self._views)

    def _new_memory(self, views: Sequence[View]) -> np.ndarray:
        size = self._session.model.preprocessing.size
        return np.empty((sum(view.count for view in views), 3, *size), dtype=np.uint8)


def _facts(picture: Picture, views: dict[str, np.ndarray]) -> PictureFacts:
    regions = {name: getattr(picture, name) for name in ("mask", "box", "segment")}
    shares = {
        name: float(np.count_nonzero(region) / region.size)
        for name, region in regions.items()
        if region is not None
    }
    if "image" not in views:
        return PictureFacts(foregrounds=shares)
    return PictureFacts(_is_constant(views["image"][0]), shares)


def _is_constant(pixels: np.ndarray) -> bool:
    """Return whether what the model sees, (3, H, W) uint8, shows nothing."""
    # Every other pixel will do; mostly a sixteenth of those, which spread at most 4 times as much.
    few = pixels[:, ::8, ::8].reshape(3, -1)
    if few.std(axis=1, dtype=np.float32).max() > 4 * CONSTANT_STD:
        return False
    seen = pixels[:, ::2, ::2].reshape(3, -1)
    return bool(seen.std(axis=1, dtype=np.float32).max() < CONSTANT_STD)


def _thumbnails(picture: Picture, region: Region | None) -> Tensor | None:
    """Return thumbnails of an image and its sides, see `Sample`."""
    inside = None if region is None else getattr(picture, region.name, None)
    if inside is None:
        return None
    small = picture.image.copy()
    small.thumbnail(_THUMBNAIL, reducing_gap=2.0)
    mask = Image.fromarray(inside).resize(small.size, Image.Resampling.NEAREST)
    pixels, kept = np.asarray(small), np.asarray(mask)[..., None]
    sides = np.stack([pixels, pixels * ~kept, pixels * kept])
    return torch.from_numpy(sides.transpose(0, 3, 1, 2).copy())


def _unexpected(stage: Literal["fetch", "decode"], error: Exception) -> ItemError:
    return ItemError(stage, "unexpected", f"{type(error).__name__}: {error}")
