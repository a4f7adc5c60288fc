"""TIFF pictures, as scanners, microscopes and research code write them."""

from __future__ import annotations

from typing import IO, Any, cast

import numpy as np
from PIL import Image, TiffImagePlugin

from seraser_core.errors import ItemError

_NEW_SUBFILE_TYPE, _DNG_VERSION, _CFA_PATTERN = 254, 50706, 33422
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _SAMPLES, _PLANAR, _SAMPLE_FORMAT, _SUBSAMPLING = 273, 277, 284, 339, 530
_BYTE_COUNTS = (279, 325)
_GDAL_NODATA = 42113
_RAW_COLOURS = (32803, 34892)
_REDUCED, _UNCOMPRESSED, _SEPARATE = 1, 1, 2
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _YCBCR = 0, 1, 2, 6
_KINDS = {1: "unsigned", 2: "signed", 3: "float", 4: "undefined", 5: "complex", 6: "complex"}
_TYPES = {1: "u", 2: "i", 3: "f"}
_SIZES = {"u": (8, 16, 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64)}
_MOST_SAMPLES = 64
_SAVE = "save it as RGB or grey of 8 or 16 bits"


class TiffImageFile(TiffImagePlugin.TiffImageFile):
    """Pillow's reader, extended to uncompressed numbers of any type.

    It refuses what Pillow takes for another picture than it is.

    Attributes:
        numbers: The values of a loaded picture that Pillow cannot read, (H, W) or (H, W, 3), not
            turned upright; its pixels then tell where they are not 0. Else None.
        has_numbers: Whether it is one.
    """

    numbers: np.ndarray | None = None
    has_numbers = False

    def _setup(self) -> None:
        tags = self.tag_v2
        if (
            {_DNG_VERSION, _CFA_PATTERN} & set(tags)
            or tags.get(_PHOTOMETRIC) in _RAW_COLOURS
            or _first(tags.get(_NEW_SUBFILE_TYPE, 0)) & _REDUCED
        ):
            raise ItemError(
                "decode",
                "unsupported_format",
                "camera raw, or a TIFF that begins with a preview; export it as JPEG or PNG",
            )
        try:
            super()._setup()
        except SyntaxError:
            self._prepare_numbers()
            return
        if self._compression != "raw":
            return
        if tags.get(_PHOTOMETRIC) == _YCBCR and self._stored() < 3 * self.width * self.height:
            raise ItemError(
                "decode",
                "unsupported_pixels",
                f"a TIFF of uncompressed YCbCr with subsampling {tags.get(_SUBSAMPLING)}; {_SAVE}",
            )
        if self._planar_configuration == _SEPARATE and _first(tags.get(_BITS, 1)) == 16:
            self._prepare_numbers()  # Pillow would take every byte for a pixel

    def load(self) -> Any:
        """Decode the pixels."""
        if self.has_numbers and self.numbers is None:
            self.numbers = self._read_numbers()
            shown = is_set(self.numbers, no_data(self))
            whole = np.asarray(shown.any(-1) if shown.ndim == 3 else shown)
            self.im = Image.fromarray(whole).im
        return super().load()

    def _prepare_numbers(self) -> None:
        """Leave the pixels to `_read_numbers`.

        Raises:
            ItemError: They are not such as it reads.
        """
        tags = self.tag_v2
        if (
            tags.get(_COMPRESSION, _UNCOMPRESSED) != _UNCOMPRESSED
            or tags.get(_PHOTOMETRIC) not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)
            or _OFFSETS not in tags
            or self._type() is None
            or not 0 < tags.get(_SAMPLES, 1) <= _MOST_SAMPLES
        ):
            raise ItemError("decode", "unsupported_pixels", f"{_described(tags)}; {_SAVE}")
        self._size, self._mode, self.tile = (tags[_WIDTH], tags[_LENGTH]), "1", []
        self.has_numbers = True

    def _type(self) -> np.dtype[Any] | None:
        """Type of the values; None if bands differ or NumPy has no such type."""
        tags = self.tag_v2
        bits, kinds = {*tags.get(_BITS, (1,))}, {*_all(tags.get(_SAMPLE_FORMAT, 1))}
        kind = _TYPES.get(min(kinds)) if len(kinds) == 1 else None
        if kind is None or len(bits) != 1 or min(bits) not in _SIZES[kind]:
            return None
        order = "<" if tags.prefix == b"II" else ">"
        return np.dtype(f"{order}{kind}{min(bits) // 8}")

    def _read_numbers(self) -> np.ndarray:
        """Read the values of the first three bands of colours, or of one band of others."""
        tags, file, kind = self.tag_v2, cast(IO[bytes], self.fp), self._type()
        if kind is None:
            raise ValueError("no numbers are to be read")
        width, height, samples = *self._size, tags.get(_SAMPLES, 1)
        wanted = width * height * samples * kind.itemsize
        counts = next((_all(tags[tag]) for tag in _BYTE_COUNTS if tag in tags), (wanted,))
        parts = []
        for offset, count in zip(_all(tags[_OFFSETS]), counts, strict=False):
            file.seek(offset)
            parts.append(file.read(min(count, wanted)))
        data = b"".join(parts)
        if len(data) < wanted:
            raise OSError(f"image file is truncated: {wanted - len(data)} bytes are missing")
        values = np.frombuffer(data[:wanted], kind)
        if tags.get(_PLANAR) == _SEPARATE:
            bands = np.moveaxis(values.reshape(samples, height, width), 0, -1)
        else:
            bands = values.reshape(height, width, samples)
        is_colour = tags.get(_PHOTOMETRIC) == _RGB and samples >= 3
        return bands[..., :3] if is_colour else bands[..., 0]

    def _stored(self) -> int:
        return sum(next((_all(self.tag_v2[t]) for t in _BYTE_COUNTS if t in self.tag_v2), (0,)))


def is_set(values: np.ndarray, missing: float | None = None) -> np.ndarray:
    """Return which values are neither 0, nor NaN, nor `missing`, the value for no measurement."""
    measured = values != 0
    if missing is not None:
        measured &= values != missing
    return np.asarray(measured & ~np.isnan(values) if values.dtype.kind == "f" else measured)


def wide_values(image: Image.Image) -> np.ndarray | None:
    """Return the values of a loaded picture if they are wider than 8 bits per band, else None."""
    if isinstance(image, TiffImageFile) and image.has_numbers:
        return image.numbers
    kind = _first(getattr(image, "tag_v2", {}).get(_SAMPLE_FORMAT, 1))
    if image.mode == "L" and kind == 2:
        return np.asarray(image).view(np.int8)
    if image.mode == "I" and isinstance(image, TiffImageFile) and kind == 1:
        return np.asarray(image).view(np.uint32)
    if image.mode.startswith("I") or image.mode == "F":
        return np.asarray(image)
    return None


def no_data(image: Image.Image) -> float | None:
    """Return the declared value for no measurement, as geographic programs write it, or None."""
    declared = getattr(image, "tag_v2", {}).get(_GDAL_NODATA)
    try:
        return float(str(declared).strip(" \0"))
    except ValueError:
        return None


def is_negative(image: Image.Image) -> bool:
    """Return whether 0 is white in a picture that Pillow does not invert by itself."""
    if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) != _WHITE_IS_ZERO:
        return False
    return image.mode.startswith("I") or image.mode == "F" or getattr(image, "has_numbers", False)


def _described(tags: Any) -> str:
    bits = tags.get(_BITS, (1,))
    count = tags.get(_SAMPLES, len(bits))
    kind = _KINDS.get(_first(tags.get(_SAMPLE_FORMAT, 1)), "unknown")
    return f"a TIFF of {count} x {_first(bits)} bits, {kind} (photometric {tags.get(_PHOTOMETRIC)})"


def _all(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple) else (int(value),)


def _first(value: Any) -> int:
    return _all(value)[0]
