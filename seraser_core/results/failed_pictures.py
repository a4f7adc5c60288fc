"""Small pictures of images that are error rows: a few of each error code, for the report.

They stand in the metadata of a shard's part of the sample. Those of one code with the smallest keys
are kept, so shards and restarts agree. Losing them costs no result.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

METADATA = b"failed"
"""Key of the metadata of a sample's file."""
OF_A_SHARD = 2
"""Pictures of each code that a shard keeps."""
_OF_A_RUN = 12


class FailedPicture(BaseModel):
    """A picture that could be decoded, of an image without a prediction.

    Attributes:
        key: Its key, see `seraser_core.shortcuts.sample.key`.
        item_index: Its place in the plan.
        item_id: Its id.
        code: Error code of its row.
        message: Message of its row.
        webp: The picture, at most 128 pixels, in Base64.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    key: int
    item_index: int
    item_id: str
    code: str
    message: str
    webp: str


_PICTURES = TypeAdapter(list[FailedPicture])


def by_code(pictures: Iterable[FailedPicture]) -> dict[str, list[FailedPicture]]:
    """Return error code -> its pictures by rising keys."""
    found: defaultdict[str, list[FailedPicture]] = defaultdict(list)
    for one in sorted(pictures, key=lambda one: (one.code, one.key, one.item_id)):
        found[one.code].append(one)
    return dict(found)


def of_a_shard(pictures: Iterable[FailedPicture]) -> list[FailedPicture]:
    """Return those that a shard keeps."""
    return [one for some in by_code(pictures).values() for one in some[:OF_A_SHARD]]


def of_a_run(pictures: Iterable[FailedPicture]) -> list[FailedPicture]:
    """Return those that a report shows: the first of each code, then the second, and so on."""
    places = [pair for some in by_code(pictures).values() for pair in enumerate(some)]
    places.sort(key=lambda pair: (pair[0], pair[1].code))
    return [one for _, one in places[:_OF_A_RUN]]


def encode(pictures: Iterable[FailedPicture]) -> bytes:
    """Return pictures as metadata of a file."""
    return _PICTURES.dump_json(list(pictures))


def decode(metadata: Mapping[bytes, bytes] | None) -> list[FailedPicture]:
    """Return the pictures in the metadata of a file; none in one of an earlier version."""
    try:
        return _PICTURES.validate_json((metadata or {}).get(METADATA, b"[]"))
    except ValidationError:
        return []
