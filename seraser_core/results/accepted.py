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
    "shard": str,
    "fingerprint": str,
    "plan_hash": str,
    "images": documents.Each(dict, {"size": int, "version": (str, NoneType)}),
}
Accepted = Mapping[int, storage.Found]
"""item_index -> what its file was when it was taken."""


def parse_accepted(data: bytes | None, url: str, of: Mapping[str, str]) -> Accepted:
    """What the document in `data` says; nothing when there is none.

    Args:
        data: As `encode_accepted` made it.
        url: Where it is, for messages.
        of: The shard, fingerprint and plan_hash that it must have.

    Raises:
        RunDirectoryError: It is damaged, or of another shard or run.
    """
    if data is None:
        return {}
    try:
        document = documents.parse(data, url, _SHAPE)
        fault = documents.seal_fault(data)
        if fault is None and any(document[key] != value for key, value in of.items()):
            fault = f"is of shard {document['shard']}, or of another run"
        if fault:
            raise RunDirectoryError(f"{url} {fault}")
    except RunDirectoryError as error:
        raise RunDirectoryError(
            f"{error}; delete it: images that were mended since the plan are then errors of the "
            "code `changed` when their shard is computed again"
        ) from None
    return {int(index): storage.Found(**kept) for index, kept in document["images"].items()}


def encode_accepted(of: Mapping[str, str], images: Accepted) -> bytes:
    """The bytes of the document that says it."""
    kept = {str(index): found._asdict() for index, found in images.items()}
    return documents.encode(documents.sealed({**of, "images": kept}))


def as_accepted(items: pa.Table, images: Accepted) -> pa.Table:
    """Planned items with the size and version of the files that were taken instead."""
    indices = items["item_index"].to_numpy()
    for name in ("size", "version"):
        values = items[name].to_pylist()
        for place in np.flatnonzero(np.isin(indices, list(images))):
            values[place] = getattr(images[int(indices[place])], name)
        field = items.schema.field(name)
        column = pa.array(values, field.type)
        items = items.set_column(items.schema.get_field_index(name), field, column)
    return items
