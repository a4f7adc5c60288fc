"""Decoding untrusted picture files with Pillow, within limits."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from seraser_core.config.options import LimitOptions
from seraser_core.errors import ItemError

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "MPO")
_ASPECT_TOLERANCE = 0.01


def decode_image(data: bytes, limits: LimitOptions) -> Image.Image:
    """The upright RGB image in `data`; of an animation the first frame.

    Raises:
        ItemError: The file is empty, no picture of a known format, cut short, or too large.
    """
    image = _open(data, limits)
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_8_bit(np.asarray(image)))
    return image.convert("RGB")


def decode_mask(data: bytes, size: tuple[int, int], limits: LimitOptions) -> np.ndarray:
    """The foreground of an image: True where the mask is not zero.

    Args:
        data: Losslessly stored mask; alpha is ignored.
        size: (width, height) of the upright image. A mask of another size is resized (nearest)
            when its aspect ratio is the same within 1 %.
        limits: Limits of the file.

    Returns:
        (height, width) bool.

    Raises:
        ItemError: The mask cannot be decoded or has another shape than the image.
    """
    mask = _open(data, limits)
    if mask.mode in ("RGBA", "LA", "PA"):
        mask = mask.convert("RGB" if mask.mode != "LA" else "L")
    if mask.mode == "P":
        # A palette mask stores classes: index 0 is background, whatever its colour.
        pixels = np.asarray(mask) != 0
    else:
        pixels = np.asarray(mask) != 0
        pixels = pixels.any(-1) if pixels.ndim == 3 else pixels
    if mask.size == size:
        return pixels
    ratio = (mask.width / mask.height) / (size[0] / size[1])
    if abs(ratio - 1) > _ASPECT_TOLERANCE:
        raise ItemError(
            "validate",
            "mask_size",
            f"mask is {mask.width} x {mask.height}, image {size[0]} x {size[1]} pixels",
        )
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST))


def box_mask(box: Sequence[float], size: tuple[int, int]) -> np.ndarray:
    """True inside the box x0, y0, x1, y1 (pixels), whose edges are rounded outwards.

    Args:
        box: The box, x1 and y1 exclusive.
        size: (width, height) of the image.

    Returns:
        (height, width) bool.

    Raises:
        ItemError: The box is empty or lies outside the image.
    """
    width, height = size
    x0, y0 = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
    x1, y1 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    if x1 <= x0 or y1 <= y0:
        raise ItemError(
            "validate", "bad_box", f"box {list(box)} has no pixel in {width} x {height}"
        )
    inside = np.zeros((height, width), dtype=bool)
    inside[y0:y1, x0:x1] = True
    return inside


def _open(data: bytes, limits: LimitOptions) -> Image.Image:
    if not data:
        raise ItemError("decode", "empty", "the file has no bytes")
    try:
        with warnings.catch_warnings():
            # Pillow's own bomb warning comes below our limit, its error above.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError:
        raise ItemError("decode", "undecodable", "no picture of a known format") from None
    except Image.DecompressionBombError as error:
        raise ItemError("decode", "too_large", str(error)) from None
    except Exception as error:  # Pillow's plugins raise all kinds of errors on damaged headers
        raise ItemError("decode", "undecodable", f"{type(error).__name__}: {error}") from None
    pixels = image.width * image.height
    if pixels > limits.max_pixels:
        raise ItemError(
            "decode",
            "too_large",
            f"{image.width} x {image.height} pixels, more than dataset.limits.max_pixels = "
            f"{limits.max_pixels}",
        )
    try:
        image.load()
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception as error:  # as above
        text = f"{type(error).__name__}: {error}"
        cut = "truncated" in text.lower() or "unexpected end" in text.lower()
        raise ItemError("decode", "truncated" if cut else "undecodable", text) from None


def _to_8_bit(pixels: np.ndarray) -> np.ndarray:
    """16-bit, 32-bit or float grey values as 8 bits: scaled, never clipped."""
    values = pixels.astype(np.float64)
    if pixels.dtype == np.uint16 or (values.min() >= 0 and 255 < values.max() < 65536):
        return np.floor(values / 257 + 0.5).astype(np.uint8)
    low, high = values.min(), values.max()
    if low >= 0 and high <= 255:
        return values.round().astype(np.uint8)
    span = (high - low) or 1.0
    return np.floor((values - low) / span * 255 + 0.5).astype(np.uint8)
