"""Pictures in memory as the bytes of lossless files, which the decoder of every run reads."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from PIL import ExifTags, Image, ImageOps

from seraser_core.errors import ItemError
from seraser_core.sources.pixels import to_8_bit

_BMP_MODES = ("RGB", "L")
"""Modes that BMP keeps; it is written and read many times faster than PNG."""
_PNG_MODES = ("1", "LA", "P", "RGBA", "I;16")
_CHANNELS = (1, 2, 3, 4)
_LOSSY = ("JPEG", "MPO")


def file_of_image(image: Image.Image | np.ndarray) -> bytes:
    """Return the bytes of a file from which the decoder makes the RGB image.

    Args:
        image: A picture of any mode, turned upright by its EXIF orientation; or an array
            (H, W), (H, W, 1), (H, W, 2), (H, W, 3) or (H, W, 4): grey, grey and alpha, RGB, RGBA.
            Numbers that are not uint8 are scaled as the decoder scales those of files.

    Raises:
        ItemError: It cannot be loaded, or has another shape.
    """
    if isinstance(image, np.ndarray):
        return _saved(_picture(image))
    with_pixels = _loaded(image)
    if with_pixels.mode in ("F", "I"):
        return _saved(Image.fromarray(to_8_bit(np.asarray(with_pixels))))
    return _saved(with_pixels)


def file_of_mask(mask: Image.Image | np.ndarray) -> bytes:
    """Return the bytes of a file from which the decoder makes the foreground.

    Args:
        mask: A picture, see `decode_mask`; or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
            of bools or numbers, of which any but 0 and NaN is foreground; the fourth channel,
            alpha, is ignored.

    Raises:
        ItemError: It cannot be loaded, was read from a file that is compressed with loss, or has
            another shape.
    """
    if isinstance(mask, np.ndarray):
        _check_shape(mask, "mask")
        set_pixels = (np.nan_to_num(mask) if mask.dtype.kind == "f" else mask) != 0
        if set_pixels.ndim == 3:
            channels = set_pixels.shape[2]
            set_pixels = set_pixels[..., : channels - (channels in (2, 4))].any(2)
        return _saved(Image.fromarray(set_pixels.astype(np.uint8) * 255))
    loaded = _loaded(mask, "mask")
    if getattr(mask, "format", None) in _LOSSY:
        raise ItemError("validate", "mask_lossy", "a JPEG mask is not exact; store masks as PNG")
    if loaded.mode in ("F", "I", "I;16"):
        return file_of_mask(np.asarray(loaded))
    return _saved(loaded)


def digest_of(value: Image.Image | np.ndarray | bytes) -> str:
    """Hash the content of a picture to 16 hex digits.

    Raises:
        ItemError: It cannot be loaded.
    """
    digest = hashlib.sha256()
    if isinstance(value, bytes):
        digest.update(value)
    elif isinstance(value, np.ndarray):
        _check_numbers(value)
        digest.update(f"{value.dtype.str} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data)
    else:
        loaded = _loaded(value)
        palette = loaded.getpalette("RGBA") if loaded.mode in ("P", "PA") else None
        digest.update(f"{loaded.mode} {loaded.size} {palette}".encode())
        digest.update(loaded.tobytes())
    return digest.hexdigest()[:16]


def _picture(array: np.ndarray) -> Image.Image:
    _check_shape(array, "image")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif array.dtype != np.uint8:
        array = to_8_bit(array)
    return Image.fromarray(np.ascontiguousarray(array))


def _check_shape(array: np.ndarray, what: str) -> None:
    _check_numbers(array)
    good = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in _CHANNELS)
    if good and array.size:
        return
    hint = ""
    if array.ndim == 3 and array.shape[0] in _CHANNELS:
        hint = "; its channels come first: transpose(1, 2, 0) puts them last"
    raise ItemError(
        "decode",
        f"{'mask_' if what == 'mask' else ''}array_shape",
        f"an array of shape {array.shape} is no {what}: (height, width) or (height, width, "
        f"channels) with 1 to 4 channels{hint}",
    )


def _check_numbers(array: np.ndarray) -> None:
    if array.dtype.kind not in "buif":
        raise ItemError(
            "decode", "array_type", f"an array of {array.dtype} holds no pixels; give numbers"
        )


def _loaded(image: Image.Image, what: str = "image") -> Image.Image:
    """The image with its pixels, upright."""
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises many kinds for damaged files
        code = "mask_undecodable" if what == "mask" else "undecodable"
        raise ItemError("decode", code, f"{type(error).__name__}: {error}") from None
    turned = _orientation(image) not in (0, 1)
    return ImageOps.exif_transpose(image) if turned else image


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF says nothing about the pixels
        return 1


def _saved(image: Image.Image) -> bytes:
    file = io.BytesIO()
    if image.mode in _BMP_MODES:
        image.save(file, "BMP")
        return file.getvalue()
    if image.mode not in _PNG_MODES:
        return _saved(image.convert("RGBA" if image.mode in ("PA", "La", "RGBa") else "RGB"))
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
