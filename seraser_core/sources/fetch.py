"""Fetching one file, within limits, with faults sorted into permanent and passing."""

from __future__ import annotations

from typing import Any

from seraser_core import storage
from seraser_core.config.options import LimitOptions
from seraser_core.errors import ItemError


def fetch(url: str, options: dict[str, Any], limits: LimitOptions) -> bytes:
    """All bytes of `url`, at most limits.max_bytes of them.

    Raises:
        ItemError: The file is missing, forbidden or too large; it will stay so.
        TransientError: A fault that may pass.
    """
    try:
        if (storage.local_size(url) or 0) > limits.max_bytes:
            raise _too_large(limits)
        # Object storage is asked for one byte too many at most, which saves asking for the size.
        data = storage.read_bytes(url, options, most=limits.max_bytes + 1)
    except (ValueError, ImportError) as error:
        raise ItemError("fetch", "missing", f"{url} is not a usable location: {error}") from None
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise ItemError("fetch", "missing", f"there is no file {url}") from None
    except PermissionError:
        raise ItemError("fetch", "forbidden", f"{url} may not be read") from None
    if len(data) > limits.max_bytes:
        raise _too_large(limits)
    return data


def _too_large(limits: LimitOptions) -> ItemError:
    return ItemError(
        "fetch", "too_large", f"more than dataset.limits.max_bytes = {limits.max_bytes} bytes"
    )
