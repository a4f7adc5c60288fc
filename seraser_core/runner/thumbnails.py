"""Small pictures for the report."""

from __future__ import annotations

import base64
import io
import threading

from PIL import Image

from seraser_core.errors import ItemError
from seraser_core.results.failed_pictures import OF_A_SHARD, FailedPicture, by_code, of_a_shard
from seraser_core.shortcuts.sample import key

_SIDE = 128


def webp(image: Image.Image) -> bytes:
    """Encode an image, at most 128 pixels on its longer side."""
    small = image.copy()
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "WEBP", quality=80, method=3)
    return data.getvalue()


class FailedPictures:
    """Pictures of images of a shard that fail, of each error code those with the smallest keys.

    Threads may add to them at once.

    Args:
        seed: Of the run.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self._kept: list[FailedPicture] = []

    def wants(self, item_id: str, code: str) -> bool:
        """Return whether an image is to be kept, as far as is known now."""
        with self._lock:
            kept = by_code(self._kept).get(code, [])
        return len(kept) < OF_A_SHARD or key(self._seed, item_id) < kept[-1].key

    def add(self, item_index: int, item_id: str, error: ItemError, image: Image.Image) -> None:
        """Keep an image, unless enough with smaller keys are there."""
        one = FailedPicture(
            key=key(self._seed, item_id),
            item_index=item_index,
            item_id=item_id,
            code=error.code,
            message=error.message,
            webp=base64.b64encode(webp(image)).decode(),
        )
        with self._lock:
            self._kept = of_a_shard([*self._kept, one])

    def kept(self) -> list[FailedPicture]:
        """Return those that are kept."""
        with self._lock:
            return list(self._kept)
