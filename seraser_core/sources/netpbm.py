"""PBM, PGM and PPM pictures, as microscopes and research code write them."""

from __future__ import annotations

import re
from typing import IO, Any, cast

import numpy as np
from PIL import Image, PpmImagePlugin

_START = re.compile(rb"P[1-6]\s")


def is_netpbm(data: bytes) -> bool:
    """Return whether a file begins as one of these does."""
    return _START.match(data) is not None


class NetpbmImageFile(PpmImagePlugin.PpmImageFile):
    """A faster reader than Pillow's for values that are not whole 8 or 16 bits."""

    def load(self) -> Any:
        """Decode the pixels: as 8 bits, or of grey with more than 255 steps as 16."""
        if self.tile and self.tile[0].codec_name == "ppm":
            self._set(self._scaled())
            self.tile = []
        access = super().load()
        if self.mode == "I":  # Pillow does not give the range
            self._set(np.asarray(self._new(self.im)).astype(np.uint16))
            access = super().load()
        return access

    def _scaled(self) -> np.ndarray:
        """The values, as parts of the full 8 or 16 bits."""
        file = cast(IO[bytes], self.fp)
        (tile,) = self.tile
        bands, steps = cast(tuple[str, int], tile.args)
        kind = np.dtype(np.uint8 if steps < 256 else ">u2")
        shape = (self.height, self.width, 3) if bands == "RGB" else (self.height, self.width)
        wanted = int(np.prod(shape)) * kind.itemsize
        file.seek(tile.offset)
        data = file.read(wanted)
        if len(data) < wanted:
            raise OSError(f"image file is truncated: {wanted - len(data)} bytes are missing")
        most = 65535 if self.mode == "I" else 255
        # One value of every step, not of every pixel.
        table: np.ndarray = np.round(np.arange(steps + 1) * most / steps)
        table = table.astype(np.uint16 if most > 255 else np.uint8)
        return table[np.minimum(np.frombuffer(data, kind), steps)].reshape(shape)

    def _set(self, pixels: np.ndarray) -> None:
        image = Image.fromarray(pixels)
        self.im, self._mode = image.im, image.mode
