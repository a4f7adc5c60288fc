"""Files that `seraser retry-errors` took though they are not as they were planned.

An image that failed may have been mended since: its file has another size then. What was taken is
kept under ``mended`` of the run directory, so that whoever computes the shard again takes the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType

import numpy as np
import pyarrow as pa

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.results import documents

_SHAPE = {
    "images": documents.Each(dict, {"size": (int, NoneType), "version": (str, NoneType)}),
}
Accepted = Mapping[int, storage.Found | None]
"""item_index -> what its file was when it was taken; None where nothing was known of it."""


def read_accepted(url: str) -> Accepted:
    """What the document at `url` says; nothing when there is none.

    Raises:
        RunDirectoryError: It is damaged.
    """
    try:
        data = documents.read(url)
    except FileNotFoundError:
        return {}
    try:
        document = documents.parse(data, url, _SHAPE)
        if fault := documents.seal_fault(data):
            raise RunDirectoryError(f"{url} {fault}")
    except RunDirectoryError as error:
        raise RunDirectoryError(
            f"{error}; delete it: images that were mended since the plan are then errors of the "
            "code `changed` when their shard is computed again"
        ) from None
    found = {int(index): kept for index, kept in document["images"].items()}
    return {
        index: None if kept["size"] is None else storage.Found(kept["size"], kept["version"])
        for index, kept in found.items()
    }


def write_accepted(url: str, images: Accepted) -> None:
    """Write the document at `url`."""
    unknown = {"size": None, "version": None}
    kept = {
        str(index): unknown if found is None else found._asdict() for index, found in images.items()
    }
    storage.write_json(url, documents.sealed({"images": kept}))


def as_accepted(items: pa.Table, images: Accepted) -> pa.Table:
    """Planned items with the size and version of the files that were taken instead."""
    indices = items["item_index"].to_numpy()
    for name in ("size", "version"):
        values = items[name].to_pylist()
        for place in np.flatnonzero(np.isin(indices, list(images))):
            values[place] = getattr(images[int(indices[place])], name, None)
        field = items.schema.field(name)
        column = pa.array(values, field.type)
        items = items.set_column(items.schema.get_field_index(name), field, column)
    return items
