"""Preparing planned items: fetch the files, decode the picture, make the views."""

from __future__ import annotations

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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Sample:
    """An image that is ready for the model, or its error.

    Attributes:
        item_index: Its place in the plan.
        views: View name -> (K, 3, H, W) uint8.
        thumbnails: (3, 3, h, w) uint8, at most 128 pixels: the image, its background alone and its
            foreground alone; None of images that are not in the run's sample, or if the foreground
            is only found later.
        size: Width and height of the picture.
        facts: Statistics of the picture.
        error: Its fault; None if it can be used.
    """

    item_index: int
    views: dict[str, Tensor] = field(default_factory=dict)
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
            wanted, thumbnails = self._views, None
            if index in self._sampled.indices:
                wanted = (*wanted, *self._sampled.views)
                thumbnails = _thumbnails(picture, self._sampled.region)
            views = {view.name: self._view(view, picture, item["item_id"]) for view in wanted}
            return Sample(index, views, thumbnails, picture.image.size, _facts(picture, views))
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

    def _view(self, view: View, picture: Picture, item_id: str) -> Tensor:
        resize = self._session.model.preprocessing.resize
        images = make_view(view, picture, self._session.config.seed, item_id)
        return stack([resize(image) for image in images])


def stack(tensors: Sequence[Tensor]) -> Tensor:
    """Stack CPU tensors of one shape, without starting torch's threads in this one.

    Each thread here would have a team of them, which slow those of the model.
    """
    return torch.from_numpy(np.stack([tensor.numpy() for tensor in tensors]))


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
