"""Decoding untrusted picture files with Pillow, within limits."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from seraser_core.errors import ItemError
from seraser_core.sources.netpbm import NetpbmImageFile, is_netpbm
from seraser_core.sources.pixels import load_rgb
from seraser_core.sources.tiff import TiffImageFile, is_set, no_data

if TYPE_CHECKING:  # a decoding child need not import the checks of all options
    from seraser_core.config.options import LimitOptions

DECODER_VERSION = 5
"""Version of the decoded pixels; in a run's fingerprint beside Pillow's version."""
IMAGE_ENDINGS = (
    *(".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".pbm", ".pgm", ".ppm", ".pnm"),
)
_OPENERS = (
    (b"\xff\xd8\xff", JpegImagePlugin.jpeg_factory),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
    (b"GIF8", GifImagePlugin.GifImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    (b"II", TiffImageFile),
    (b"MM", TiffImageFile),
)
_OTHER_FORMATS = {
    b"\x00\x00\x01\x00": "ICO",
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"<?xml": "SVG",
    b"v/1\x01": "OpenEXR",
    b"DDS ": "DDS",
    b"qoif": "QOI",
    b"II*\x00\x10\x00\x00\x00CR": "camera raw (Canon)",
    b"IIRO": "camera raw (Olympus)",
    b"IIRS": "camera raw (Olympus)",
    b"MMOR": "camera raw (Olympus)",
    b"IIU\x00": "camera raw (Panasonic)",
    b"FUJIFILMCCD-RAW": "camera raw (Fujifilm)",
    b"II\xbc": "JPEG XR",
    b"SIMPLE  =": "FITS",
    b"\x89HDF": "HDF5",
    b"\x93NUMPY": "NumPy",
    b"#?RADIANCE": "Radiance HDR",
    b"#?RGBE": "Radiance HDR",
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "ZIP",
    b"<!DOCTYPE": "HTML",
    b"<!doctype": "HTML",
    b"<html": "HTML",
    b"P7\n": "PAM",
    b"Pf\n": "PFM",
    b"PF\n": "PFM",
}
_OTHER_STARTS = tuple(_OTHER_FORMATS)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> transposition that makes the image upright."""
_SIDEWAYS = 5
_ASPECT_TOLERANCE = 0.01
_CUT_SHORT = re.compile(
    r"truncated|unexpected end|eof|not enough|unpack_from requires|incomplete checksum|"
    r"chunk b'\w{0,3}'"
)
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


def decode_image(data: bytes, limits: LimitOptions) -> Image.Image:
    """The upright RGB image in `data`; of an animation the first frame.

    Raises:
        ItemError: The file is empty, no picture of a known format, cut short, or too large.
    """
    return _to_rgb(_open(data, limits), data)


def decode_reduced(data: bytes, limits: LimitOptions, least: int) -> tuple[Image.Image, float]:
    """Decode like `decode_image`, but perhaps a JPEG at 1/2, 1/4 or 1/8 of its size.

    Much faster for large photographs, since the rest of their frequencies is never transformed.
    The pixels differ slightly from those of the whole image resized.

    Args:
        data: The file.
        limits: Limits of the file, at its full size.
        least: Neither side becomes smaller than this.

    Returns:
        The image, and its size as a part of the full one's.

    Raises:
        As `decode_image`.
    """
    image = _open(data, limits)
    full = max(image.size)
    image.draft("RGB", (least, least))
    picture = _to_rgb(image, data)
    return picture, max(picture.size) / full


def image_size(data: bytes, limits: LimitOptions) -> tuple[int, int]:
    """Return width and height of the upright image in `data`, decoding only the header.

    Raises:
        As `decode_image`.
    """
    image = _open(data, limits)
    width, height = image.size
    # Pillow itself turns the size of a TIFF.
    turned = isinstance(image, TiffImageFile) and not image.has_numbers
    sideways = _orientation(image) >= _SIDEWAYS and not turned
    return (height, width) if sideways else (width, height)


def _to_rgb(image: ImageFile.ImageFile, data: bytes) -> Image.Image:
    """The opened image in `data`, upright; see `load_rgb`."""
    with _broken_file():
        picture = load_rgb(image, lambda: _read_header(data))
    return _upright(picture, _orientation(image))


def decode_mask(data: bytes, size: tuple[int, int], limits: LimitOptions) -> np.ndarray:
    """The foreground of an image: True where the mask is not zero, and a number.

    Args:
        data: Losslessly stored mask; alpha is ignored. A palette of black and white counts by
            its colours, any other by its indices, where index 0 must be black.
        size: (width, height) of the upright image. A mask of another size is resized (nearest)
            when its aspect ratio is the same within 1 %.
        limits: Limits of the file.

    Returns:
        (height, width) bool.

    Raises:
        ItemError: The mask cannot be decoded, is compressed with loss (whose noise around the
            foreground is not zero), has a palette that does not tell the background, or has
            another shape than the image.
    """
    mask = load_mask(data, limits)
    pixels = foreground(mask)
    if mask.size == size:
        return pixels
    check_shape(mask.size, size)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST))


def check_shape(mask: tuple[int, int], size: tuple[int, int]) -> None:
    """Refuse a mask with another shape than its image.

    Args:
        mask: Its width and height.
        size: Width and height of the image.

    Raises:
        ItemError: It is not.
    """
    if abs((mask[0] / mask[1]) / (size[0] / size[1]) - 1) > _ASPECT_TOLERANCE:
        raise ItemError(
            "validate",
            "mask_size",
            f"mask is {mask[0]} x {mask[1]}, image {size[0]} x {size[1]} pixels",
        )


def load_mask(data: bytes, limits: LimitOptions) -> Image.Image:
    """The mask in a file, upright and without alpha, see `decode_mask`."""
    mask = _load(_open(data, limits))
    if lossy := _lossy(data, mask):
        raise ItemError(
            "validate", "mask_lossy", f"a {lossy} mask is not exact; store masks as PNG"
        )
    if mask.mode in ("RGBA", "LA", "PA"):
        mask = mask.convert("RGB" if mask.mode != "LA" else "L")
    return mask


def foreground(mask: Image.Image) -> np.ndarray:
    """Return the foreground of a mask of `load_mask`: (height, width) bool, see `decode_mask`."""
    values = _without_palette(mask) if mask.mode == "P" else np.asarray(mask)
    pixels = is_set(values, None if mask.mode == "1" else no_data(mask))
    return np.asarray(pixels.any(-1) if pixels.ndim == 3 else pixels)


def _lossy(data: bytes, image: Image.Image) -> str | None:
    """The name of the compression with loss in which a mask is stored; None when exact."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"RIFF") and _lossy_webp(data):
        return "lossy WebP"
    if data.startswith((b"II", b"MM")):
        kind = str(image.info.get("compression"))
        return f"{kind} TIFF" if "jpeg" in kind or kind == "webp" else None
    return None


def _lossy_webp(data: bytes) -> bool:
    """Return whether the first frame of a WebP file is a VP8 (not a VP8L) bit stream."""
    at = 12
    while at + 8 <= len(data):
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name in (b"VP8 ", b"ALPH", b"VP8L"):
            return name != b"VP8L"
        # The chunks of a frame follow its header; other chunks, padded to even sizes, are skipped.
        at += 8 + (16 if name == b"ANMF" else length + length % 2)
    return False


def _without_palette(mask: Image.Image) -> np.ndarray:
    """A palette mask as values that are zero in the background."""
    palette = mask.getpalette("RGB") or []
    colours = list(zip(palette[::3], palette[1::3], palette[2::3], strict=True))
    indices = np.asarray(mask)
    used = {colours[i] if i < len(colours) else None for i in np.unique(indices).tolist()}
    # Programs that save black and white with a palette put either of them first.
    if _WHITE in colours and used <= {_BLACK, _WHITE}:
        return np.isin(indices, [i for i, colour in enumerate(colours) if colour == _WHITE])
    if colours[:1] != [_BLACK]:
        raise ItemError(
            "validate",
            "mask_palette",
            f"colour 0 of the mask's palette is {colours[0] if colours else 'missing'}, not black, "
            "so the background cannot be told; store the mask in grey, with 0 as background",
        )
    return indices


def _open(data: bytes, limits: LimitOptions) -> ImageFile.ImageFile:
    """Open the image without decoding any pixel."""
    if not data:
        raise ItemError("decode", "empty", "the file has no bytes")
    with _broken_file():
        image = _read_header(data)
    pixels = image.width * image.height
    if pixels > limits.max_pixels:
        raise ItemError(
            "decode",
            "too_large",
            f"{image.width} x {image.height} pixels, more than dataset.limits.max_pixels = "
            f"{limits.max_pixels}",
        )
    return image


def _load(image: Image.Image) -> Image.Image:
    """Decode the pixels and turn the image upright."""
    with _broken_file():
        image.load()
    return _upright(image, _orientation(image))


@contextmanager
def _broken_file() -> Iterator[None]:
    """Turn the many kinds of errors that Pillow raises for damaged files into ItemErrors."""
    try:
        yield
    except (ItemError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ItemError("decode", "too_large", str(error)) from None
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        if _CUT_SHORT.search(text.lower()):
            raise ItemError(
                "decode", "truncated", "the file ends before its picture does; fetch it again"
            ) from None
        raise ItemError("decode", "undecodable", text) from None


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _read_header(data: bytes) -> ImageFile.ImageFile:
    """Open without `Image.open`, which has a global limit of pixels."""
    name = None
    if data.startswith(_OTHER_STARTS):
        name = next(name for start, name in _OTHER_FORMATS.items() if data.startswith(start))
    opener = next((opener for start, opener in _OPENERS if data.startswith(start)), None)
    if opener and not name:
        return opener(io.BytesIO(data), "")
    if is_netpbm(data):
        return NetpbmImageFile(io.BytesIO(data), "")
    if data[128:132] == b"DICM":
        name = "DICOM"
    elif data[4:8] == b"ftyp":
        name = f"ISO media ({data[8:12].decode('ascii', 'replace')})"
    if name:
        raise ItemError(
            "decode",
            "unsupported_format",
            f"{name}; JPEG, PNG, WebP, GIF, BMP, TIFF, PBM, PGM and PPM can be read",
        )
    raise ItemError("decode", "undecodable", "no picture of a known format")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF says nothing about the pixels
        return 1
