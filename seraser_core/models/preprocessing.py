"""Preparing pictures for the model, as open_clip's own evaluation transform does.

The work is cut in two: pictures are resized and cropped one by one, in the threads that decode
them, and wait as bytes; a batch is normalised at once, on the model's device.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor

# A 65,000 x 1 picture resized to 224 on its short side would need gigabytes.
_MOST_RESIZED_PIXELS = 2**24


class Preprocessing:
    """Resizing, cropping and normalising.

    Args:
        cfg: open_clip's configuration of it.
    """

    def __init__(self, cfg: PreprocessCfg) -> None:
        self._cfg = cfg
        self._mean_std: dict[torch.device, tuple[Tensor, ...]] = {}

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the model's input."""
        size = self._cfg.size
        return (size, size) if isinstance(size, int) else (size[0], size[1])

    def resize(self, image: Image.Image) -> Tensor:
        """The model's view of an RGB image, not yet normalised.

        Returns:
            (3, H, W) uint8.
        """
        pixels = np.empty((3, *self.size), dtype=np.uint8)
        self.resize_into(pixels, image)
        return torch.from_numpy(pixels)

    def resize_into(self, pixels: np.ndarray, image: Image.Image) -> None:
        """Write the model's view of an RGB image, not yet normalised, into memory that is there.

        Very long pictures are first cut symmetrically to a generous surrounding of the centre
        crop, because resizing them whole would need gigabytes.

        Args:
            pixels: (3, H, W) uint8; overwritten.
            image: The image.
        """
        width, height = image.size
        scale = max(self.size) / min(width, height)
        cropped = self._cfg.resize_mode == "shortest"
        if cropped and width * height * scale * scale > _MOST_RESIZED_PIXELS:
            image = _cut_long_side(image, keep=2 * min(width, height) + 16)
        to_size, *to_shape = self._to_picture
        image = to_size(image)
        if image.size != self.size[::-1]:  # or these would copy it
            for transform in to_shape:
                image = transform(image)
        # By NumPy: every thread that calls torch's parallel operations keeps a team of its own.
        np.copyto(pixels, _channels(image if image.mode == "RGB" else image.convert("RGB")))

    def restore(self, mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A mask of the model's view as a mask of the image; False where the model sees nothing.

        Args:
            mask: (H, W) bool, of what `resize` returns.
            size: (width, height) of the image.

        Returns:
            (height, width) bool.
        """
        sides = size[::-1]
        scales = [view / side for view, side in zip(mask.shape, sides, strict=True)]
        if self._cfg.resize_mode != "squash":
            scales = [min(scales) if self._cfg.resize_mode == "longest" else max(scales)] * 2
        shown = [  # the part of the view that is not padding
            _middle(view, min(view, round(side * scale)))
            for view, side, scale in zip(mask.shape, sides, scales, strict=True)
        ]
        places = [
            _middle(side, min(side, round(view / scale)))
            for view, side, scale in zip(mask.shape, sides, scales, strict=True)
        ]
        height, width = (place.stop - place.start for place in places)
        part = Image.fromarray(mask[shown[0], shown[1]])
        whole = np.zeros(sides, dtype=bool)
        whole[places[0], places[1]] = part.resize((width, height), Image.Resampling.NEAREST)
        return whole

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pictures as the model takes them.

        Args:
            pixels: (..., 3, H, W) uint8.

        Returns:
            (..., 3, H, W) float32 on the same device.
        """
        if pixels.device not in self._mean_std:  # once: a copy from the CPU waits
            self._mean_std[pixels.device] = tuple(
                torch.tensor(values, device=pixels.device).view(3, 1, 1)
                for values in (self._cfg.mean, self._cfg.std)
            )
        mean, std = self._mean_std[pixels.device]
        return pixels.to(torch.float32).div_(255).sub_(mean).div_(std)

    def black(self) -> Tensor:
        """The all-black image as the model takes it, (3, H, W) float32."""
        return self.normalise(torch.zeros(3, *self.size, dtype=torch.uint8))

    @cached_property
    def _to_picture(self) -> list[Callable[[Image.Image], Image.Image]]:
        *to_picture, _to_rgb, _to_tensor, _normalise = image_transform_v2(
            self._cfg, is_train=False
        ).transforms
        return list(to_picture)

    def describe(self) -> dict[str, Any]:
        """Return everything that decides how pixels become tensors, for the fingerprint."""
        cfg = self._cfg
        return {
            "size": cfg.size,
            "mean": list(cfg.mean),
            "std": list(cfg.std),
            "interpolation": cfg.interpolation,
            "resize_mode": cfg.resize_mode,
            "fill_color": cfg.fill_color,
        }


def _channels(image: Image.Image) -> np.ndarray:
    """The pixels of an RGB image, (3, H, W), in its own memory where that is in one piece."""
    try:
        pixels = pa.array(image).values.to_numpy()
    except ValueError:  # of more than 16 MiB
        return np.asarray(image).transpose(2, 0, 1)
    return pixels.reshape(image.height, image.width, -1)[..., :3].transpose(2, 0, 1)


def _middle(whole: int, part: int) -> slice:
    start = (whole - part) // 2
    return slice(start, start + part)


def _cut_long_side(image: Image.Image, keep: int) -> Image.Image:
    width, height = image.size
    x, y = max(0, (width - keep) // 2), max(0, (height - keep) // 2)
    return image.crop((x, y, width - x, height - y))
