"""Pixels of any depth, range and colour space as 8-bit RGB that a person would recognise."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
from PIL import Image, ImageFile

from seraser_core.errors import ItemError
from seraser_core.sources.tiff import is_negative, no_data, wide_values

_STRIP = 64
_SAMPLE = 2**20
_OUTLIERS = 1000
"""One value in so many, at either end, is an outlier."""
_CONTAINERS = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
"""Largest values of 8, 10, 12, 14 and 16 bits."""
_TOLERANCE = 1.02
"""Resampling leaves floats a little outside of their range."""
_UNSEEN = 16
"""Values within a smaller part of their range show nothing."""
_DARK = 64
"""Smaller upper bytes mean that at most 14 bits are used."""
_FLAT = 32
"""Steps of 255 in a picture of one colour, and in an alpha channel that shows nothing."""
_FILLERS = (-9999.0, -99999.0, -32767.0, -32768.0)
"""Values that stand for no measurement in files that do not declare one."""
_HUGE = 1e38
"""Floats from here on measure nothing: the largest one is a filler, in many spellings."""
_BIG, _LITTLE = ("B", "L") if sys.byteorder == "little" else ("L", "B")
_LOWER_BYTES = {"LA;16B": "RGBA"} | {
    f"{bands};16{order}": f"{bands};16{other}"
    for bands in ("RGB", "RGBA", "RGBX")
    for order, other in (("B", "L"), ("L", "B"), ("N", _BIG))
}
"""Pillow's names of colours of 16 bits -> those under which it gives their lower bytes."""


def load_rgb(opened: ImageFile.ImageFile, reopen: Callable[[], ImageFile.ImageFile]) -> Image.Image:
    """The pixels of an image as RGB, not turned upright.

    Grey of more than 8 bits is scaled: by the smallest of 8, 10, 12, 14 and 16 bits that its values
    fit, 0 to 1 and -1 to 1 as such, others from their least to their greatest value. One in 1000
    values at either end is an outlier, which is clipped. So are colours of 16 bits where they use
    14 or fewer. A value that stands for no measurement does not count and becomes black: what a
    TIFF declares (GDAL's tag), and -9999 and its like where it is further from the rest than the
    rest is wide. Profiles, gamma and alpha are ignored, as open_clip does; but where the colours
    are all alike and alpha tells the picture, it is laid on white, or on black when it is bright.

    Args:
        opened: The image; it is loaded.
        reopen: Opens it once more.

    Raises:
        ItemError: No value is a finite number.
        Any other error of Pillow: The file is damaged.
    """
    rawmode, image = _rawmode(opened), cast(Image.Image, opened)
    image.load()
    missing = no_data(image)
    if rawmode in _LOWER_BYTES and (missing is not None or _is_dark(image)):
        image = _with_lower_bytes(image, reopen(), _LOWER_BYTES[rawmode], missing)
    values = wide_values(image)
    if values is not None:
        scaled = to_8_bit(values, missing)
        return Image.fromarray(~scaled if is_negative(image) else scaled).convert("RGB")
    if image.mode in ("LA", "PA", "RGBA", "La") or (
        image.mode == "P" and "transparency" in image.info
    ):
        shown = _shown_by_alpha(image)
        if shown is not None:
            return shown
    # Pillow warns when a palette has alpha.
    image.info.pop("transparency", None)
    return (image.convert("LA") if image.mode == "La" else image).convert("RGB")


def to_8_bit(values: np.ndarray, missing: float | None = None) -> np.ndarray:
    """Numbers of any kind as 8 bits, see `load_rgb`.

    Args:
        values: (H, W, ...) integers or floats. What is not a number becomes the least value.
        missing: The value that stands for no measurement, where one is declared; it becomes 0.

    Raises:
        ItemError: None is finite, or none a measurement.
    """
    measured = _measured(values, missing)
    if missing is None and (missing := _filler(measured)) is not None:
        measured = measured[measured != missing]
    start, width = _range(measured)
    small = np.empty(values.shape, dtype=np.uint8)
    for part, target in zip(_strips(values), _strips(small), strict=True):
        share = (part.astype(np.float64) - start) / width
        share = np.clip(np.nan_to_num(share, nan=0, posinf=1, neginf=0), 0, 1)
        target[:] = np.floor(share * 255 + 0.5)
        if missing is not None:
            target[part == missing] = 0
    return small


def _measured(values: np.ndarray, missing: float | None) -> np.ndarray:
    """Sample of at most about a million values that measure something, (N,).

    Raises:
        ItemError: None does.
    """
    step = math.ceil(math.sqrt(values.size / _SAMPLE)) or 1
    flat = values[::step, ::step].reshape(-1)
    if flat.dtype.kind == "f":
        flat = flat[np.abs(flat.astype(np.float64)) < _HUGE]
    if missing is not None:
        flat = flat[flat != missing]
    if not flat.size:
        raise ItemError("decode", "no_pixels", "none of its values is a finite number")
    return flat


def _filler(measured: np.ndarray) -> float | None:
    """Return the least value if it is one of `_FILLERS` and far from all others, or None."""
    least = float(measured.min())
    if least not in _FILLERS:
        return None
    rest = measured[measured != least]
    if not rest.size or float(rest.min()) - least <= float(rest.max()) - float(rest.min()):
        return None
    return least


def _range(measured: np.ndarray) -> tuple[float, float]:
    """Value that becomes 0, and its distance to the value that becomes 255."""
    is_float = measured.dtype.kind == "f"
    cut = measured.size // _OUTLIERS
    ordered = np.partition(measured, (cut, measured.size - 1 - cut))
    low, high = float(ordered[cut]), float(ordered[measured.size - 1 - cut])
    if high > 0 and low >= -0.1 * high:
        tolerance = _TOLERANCE if is_float else 1.0
        ranges = (1.0, *_CONTAINERS) if is_float else _CONTAINERS
        full = next((most for most in ranges if high <= most * tolerance), None)
        if full is not None:
            return 0.0, full if high > full / _UNSEEN else high
    if is_float and low < 0 and max(-low, high) <= _TOLERANCE and high > 1 / _UNSEEN:
        return -1.0, 2.0
    return low, (high - low) or 1.0


def _strips(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Some rows at a time: floats of a large picture would need gigabytes."""
    for top in range(0, len(pixels), _STRIP):
        yield pixels[top : top + _STRIP]


def _rawmode(image: ImageFile.ImageFile) -> str:
    """Return Pillow's raw mode of the file, if all bands are unpacked together."""
    if not image.tile or getattr(image, "_planar_configuration", 1) == 2:
        return ""
    arguments = image.tile[0].args
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _is_dark(image: Image.Image) -> bool:
    counts = np.array(image.histogram()).reshape(-1, 256)[:3]
    return bool(counts[:, _DARK:].sum() <= counts.sum() // _OUTLIERS)


def _with_lower_bytes(
    image: Image.Image, again: ImageFile.ImageFile, rawmode: str, missing: float | None
) -> Image.Image:
    """Scale 16-bit colours by both bytes; Pillow keeps only the upper ones."""
    (tile,) = again.tile
    args = tile.args
    again.tile = [tile._replace(args=(rawmode, *args[1:]) if isinstance(args, tuple) else rawmode)]
    again.load()
    upper, lower = np.asarray(image)[..., :3], np.asarray(again)
    # The four bytes of grey with alpha were read as four bands.
    lower = lower[..., 1:2] if rawmode == "RGBA" else lower[..., :3]
    scaled = Image.fromarray(to_8_bit(upper.astype(np.uint16) * 256 + lower, missing))
    if image.mode == "RGBA":
        scaled.putalpha(image.getchannel("A"))
    return scaled


def _shown_by_alpha(image: Image.Image) -> Image.Image | None:
    """Return a picture that only its alpha channel shows, on a contrasting ground, or None."""
    whole = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    *colours, alpha = whole.getextrema()
    if _spread(alpha) < _FLAT or max(map(_spread, colours)) >= _FLAT:
        return None
    red, green, blue = (float(sum(extremes)) / 2 for extremes in colours)  # type: ignore[arg-type]
    bright = 0.299 * red + 0.587 * green + 0.114 * blue >= 128
    ground = Image.new("RGBA", whole.size, "black" if bright else "white")
    return Image.alpha_composite(ground, whole).convert("RGB")


def _spread(extremes: tuple[float, float] | float) -> float:
    low, high = extremes  # type: ignore[misc]
    return float(high - low)
