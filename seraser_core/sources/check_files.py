"""Reading the header of every planned file, to find missing, damaged and mismatched ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from seraser_core import storage
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ItemError, TransientError
from seraser_core.sources.decode import check_shape, image_size
from seraser_core.sources.fetch import fetch_image, fetch_mask, of_the_mask, permanent_faults

_HEADER_BYTES = 64 * 1024
_FILES_AT_ONCE = 32
_ITEMS_AT_ONCE = 2048
_NAMES = 5
_COLUMNS = ("item_id", "image", "mask", "size", "version")
_PLACES = ("offset", "length", "mask_offset", "mask_length")


@dataclass
class FileFaults:
    """Faults of the files of a plan.

    Attributes:
        files: Images that were looked at, with their masks.
        faults: Code -> how many images have it.
        first: Code -> the first of them, each with its reason.
    """

    files: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    first: dict[str, list[str]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return the faults as lines for people."""
        if not self.faults:
            return [f"{self.files:,} files checked: nothing is wrong with their headers"]
        texts = [f"{sum(self.faults.values()):,} of {self.files:,} images cannot be used"]
        for code, number in sorted(self.faults.items(), key=lambda pair: -pair[1]):
            texts.append(f"{code} {number:,}")
            texts += [f"  {text}" for text in self.first[code]]
            if number > _NAMES:
                texts.append(f"  and {number - _NAMES:,} more")
        return texts


def check_files(
    items: pa.Table, dataset: DatasetOptions, advance: Callable[[int], None]
) -> FileFaults:
    """Read the header of every image and mask; no pixel is decoded.

    Args:
        items: The plan.
        dataset: Its data set.
        advance: Told of images that were looked at.
    """
    counted = FileFaults()
    rows = items.select([*_COLUMNS, *_PLACES])
    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        for start in range(0, rows.num_rows, _ITEMS_AT_ONCE):
            part = rows.slice(start, _ITEMS_AT_ONCE).to_pylist()
            for item, fault in zip(part, pool.map(partial(_fault, dataset), part), strict=True):
                counted.files += 1
                if fault is not None:
                    code, text = fault
                    counted.faults[code] = counted.faults.get(code, 0) + 1
                    if counted.faults[code] <= _NAMES:
                        counted.first.setdefault(code, []).append(f"{item['item_id']}: {text}")
                advance(1)
    return counted


def _fault(dataset: DatasetOptions, item: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return code and reason of the fault of an image or its mask."""
    try:
        size = _size(item, "image", dataset)
        if item["mask"] is not None:
            with of_the_mask():
                mask = _size(item, "mask", dataset)
            check_shape(mask, size)
    except ItemError as error:
        return error.code, error.message
    except TransientError as error:
        return "unreachable", str(error)
    return None


def _size(item: Mapping[str, Any], kind: str, dataset: DatasetOptions) -> tuple[int, int]:
    """Width and height of an upright image or mask, from the first bytes of its file."""
    whole = fetch_image if kind == "image" else fetch_mask
    place = item["offset"] if kind == "image" else item["mask_offset"]
    if place is not None:
        return image_size(whole(item, dataset), dataset.limits)
    elsewhere = kind == "mask" and dataset.masks is not None
    options = {} if elsewhere else dataset.storage_options
    with permanent_faults(item[kind]):
        version = item["version"] if kind == "image" else None
        data = storage.read_bytes(item[kind], options, _HEADER_BYTES, version)
    try:
        return image_size(data, dataset.limits)
    except ItemError:
        if len(data) < _HEADER_BYTES:
            raise
    return image_size(whole(item, dataset), dataset.limits)  # a long one, of a camera perhaps
