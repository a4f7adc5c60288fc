"""TIFF pictures, as scanners, microscopes and research code write them."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from seraser_core.errors import ItemError

_NEW_SUBFILE_TYPE, _DNG_VERSION, _CFA_PATTERN = 254, 50706, 33422
_PHOTOMETRIC, _SAMPLE_FORMAT, _SUBSAMPLING = 262, 339, 530
_BYTE_COUNTS = (279, 325)
_RAW_COLOURS = (32803, 34892)
_REDUCED = 1
_YCBCR, _WHITE_IS_ZERO, _SEPARATE = 6, 0, 2
_BANDS = ("RGB", "RGBA", "CMYK")
_KINDS = {1: "unsigned", 2: "signed", 3: "float", 4: "undefined", 5: "complex", 6: "complex"}
_SAVE = "save it as RGB or grey of 8 or 16 bits"


class TiffImageFile(TiffImagePlugin.TiffImageFile):
    """Pillow's reader; it refuses what that one takes for another picture than it is."""

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
            raise ItemError(
                "decode", "unsupported_pixels", f"{_described(tags)}; {_SAVE}"
            ) from None
        if self._compression != "raw":
            return
        if tags.get(_PHOTOMETRIC) == _YCBCR and self._stored() < 3 * self.width * self.height:
            raise ItemError(
                "decode",
                "unsupported_pixels",
                f"a TIFF of uncompressed YCbCr with subsampling {tags.get(_SUBSAMPLING)}; {_SAVE}",
            )
        if self._planar_configuration == _SEPARATE and _first(tags.get(258, 1)) == 16:
            # Pillow itself would take every byte for a pixel; libtiff does not.
            bands = "".join(dict.fromkeys(str((tile.args or "")[0]) for tile in self.tile))
            if bands not in _BANDS:
                raise ItemError("decode", "unsupported_pixels", f"{_described(tags)}; {_SAVE}")
            args = (f"{bands};16N", False, tags._offset)
            self.use_load_libtiff = True
            self.tile = [ImageFile._Tile("libtiff", (0, 0, *self._tile_size), 0, args)]

    def _stored(self) -> int:
        counts = next((self.tag_v2[tag] for tag in _BYTE_COUNTS if tag in self.tag_v2), 0)
        return sum(counts) if isinstance(counts, tuple) else int(counts)


def wide_values(image: Image.Image) -> np.ndarray | None:
    """The values of a loaded picture where they are no 8 bits per band; else None."""
    kind = _first(getattr(image, "tag_v2", {}).get(_SAMPLE_FORMAT, 1))
    if image.mode == "L" and kind == 2:
        return np.asarray(image).view(np.int8)
    if image.mode == "I" and isinstance(image, TiffImagePlugin.TiffImageFile) and kind == 1:
        return np.asarray(image).view(np.uint32)
    if image.mode.startswith("I") or image.mode == "F":
        return np.asarray(image)
    return None


def is_negative(image: Image.Image) -> bool:
    """Whether 0 is white in a picture of which Pillow does not see to that."""
    photometric = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC)
    return photometric == _WHITE_IS_ZERO and (image.mode.startswith("I") or image.mode == "F")


def _described(tags: Any) -> str:
    bits = tags.get(258, (1,))
    count = tags.get(277, len(bits))
    kind = _KINDS.get(_first(tags.get(_SAMPLE_FORMAT, 1)), "unknown")
    return f"a TIFF of {count} x {_first(bits)} bits, {kind} (photometric {tags.get(262)})"


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)
