"""Images of a session: their planned items, and the bytes of their files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from seraser_core.config.options import DatasetOptions
from seraser_core.results.shards import RunDirectory
from seraser_core.sources.fetch import fetch_image, fetch_mask


class Images(Protocol):
    """Images of a session. An item is a row of `ITEMS_SCHEMA`.

    The bytes of files are asked for in threads; see `seraser_core.sources.fetch.fetch` for what
    may be raised.
    """

    @property
    def count(self) -> int:
        """Number of images."""

    def items(self, indices: np.ndarray) -> list[dict[str, Any]]:
        """The items of these indices, by index."""

    def image(self, item: Mapping[str, Any]) -> bytes:
        """The image file of an item."""

    def mask(self, item: Mapping[str, Any]) -> bytes:
        """The mask file of an item that has one."""

    def mask_path(self, kind: str, item_index: int) -> str | None:
        """URL at which a mask of this kind is kept, see `MADE_MASKS`; None if none is kept."""


class PlannedImages:
    """Images of a run directory; see `Images`.

    Args:
        directory: The run directory.
        dataset: Its data set.
    """

    def __init__(self, directory: RunDirectory, dataset: DatasetOptions) -> None:
        self._directory, self._dataset = directory, dataset

    @property
    def count(self) -> int:
        """Number of images."""
        return self._directory.shards()[-1].stop

    def items(self, indices: np.ndarray) -> list[dict[str, Any]]:
        """Read the items of these indices, by index, from their shards alone."""
        wanted = np.sort(indices)
        rows: list[dict[str, Any]] = []
        for shard in self._directory.shards():
            first, last = np.searchsorted(wanted, [shard.start, shard.stop])
            if first < last:
                places = pa.array(wanted[first:last] - shard.start)
                rows += self._directory.items(shard.id).take(places).to_pylist()
        return rows

    def image(self, item: Mapping[str, Any]) -> bytes:
        """See `fetch_image`."""
        return fetch_image(item, self._dataset)

    def mask(self, item: Mapping[str, Any]) -> bytes:
        """See `fetch_mask`."""
        return fetch_mask(item, self._dataset)

    def mask_path(self, kind: str, item_index: int) -> str | None:
        """See `RunDirectory.mask_path`."""
        return self._directory.mask_path(kind, item_index)
