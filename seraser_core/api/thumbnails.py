"""Small pictures of the images that were given."""

from __future__ import annotations

import io

from PIL import Image

from seraser_core.api.given import Given
from seraser_core.config.options import LimitOptions
from seraser_core.errors import SeraserError
from seraser_core.sources.decode import decode_image

_SIDE = 128


def thumbnail(image: Given, limits: LimitOptions) -> bytes | None:
    """Return a small WebP of an image; None if it can no longer be read."""
    try:
        picture = decode_image(image.read(limits), limits)
    except SeraserError:
        return None
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.save(data, "WEBP", quality=80)
    return data.getvalue()
