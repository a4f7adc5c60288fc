"""Files on a local disk, in object storage and on the web behind one interface, `Place`.

A location is a plain local path or any fsspec URL (``s3://bucket/key``). Credentials are never
passed here: they come from the environment or a profile. The functions are the methods of the place
at a URL, which say what they do, return and raise.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import IO, Any

from seraser_core.storage.locations import absolute, join, local_path, parent
from seraser_core.storage.place import FileInfo, Options, Place, at

__all__ = [
    "FileInfo",
    "Options",
    "Place",
    "absolute",
    "at",
    "create",
    "delete",
    "exists",
    "fetch_file",
    "find",
    "find_files",
    "honours_create",
    "join",
    "list_files",
    "list_folders",
    "local_path",
    "local_size",
    "open_file",
    "parent",
    "polars_options",
    "publish",
    "read_bytes",
    "read_json",
    "read_range",
    "remove_unfinished",
    "version",
    "write_bytes",
]


def read_bytes(
    url: str, options: Options | None = None, most: int | None = None, version: str | None = None
) -> bytes:
    """See `Place.read`."""
    return at(url, options).read(most, version)


def read_json(url: str, options: Options | None = None) -> Any:
    """The JSON document at `url`."""
    return json.loads(read_bytes(url, options))


def read_range(
    url: str, start: int, length: int, options: Options | None = None, version: str | None = None
) -> bytes:
    """See `Place.read_range`."""
    return at(url, options).read_range(start, length, version)


def open_file(
    url: str, options: Options | None = None, version: str | None = None
) -> AbstractContextManager[IO[bytes]]:
    """See `Place.open`."""
    return at(url, options).open(version)


def version(url: str, options: Options | None = None) -> str:
    """See `Place.version`."""
    return at(url, options).version()


def local_size(url: str) -> int | None:
    """See `Place.local_size`."""
    return at(url).local_size()


def list_files(folder: str, options: Options | None = None) -> list[str]:
    """See `Place.list_files`."""
    return at(folder, options).list_files()


def list_folders(folder: str, options: Options | None = None) -> list[str]:
    """See `Place.list_folders`."""
    return at(folder, options).list_folders()


def find_files(
    folder: str, options: Options | None = None, prefix: str = ""
) -> dict[str, FileInfo]:
    """See `Place.find_files`."""
    return at(folder, options).find_files(prefix)


def find(url: str, options: Options | None = None) -> FileInfo | None:
    """See `Place.find`."""
    return at(url, options).find()


def exists(url: str, options: Options | None = None) -> bool:
    """See `Place.exists`."""
    return at(url, options).exists()


def fetch_file(url: str, path: Path) -> None:
    """See `Place.fetch`."""
    at(url).fetch(path)


def write_bytes(url: str, data: bytes) -> None:
    """See `Place.write`."""
    at(url).write(data)


def create(url: str, data: bytes) -> bool:
    """See `Place.create`."""
    return at(url).create(data)


@cache
def honours_create(folder: str) -> bool:
    """See `Place.honours_create`; each folder is tried once per process."""
    return at(folder).honours_create()


def publish(source: str, target: str) -> None:
    """Put the content of `source` under the name `target`, see `Place.publish`."""
    at(target).publish(at(source))


def delete(url: str) -> None:
    """See `Place.delete`."""
    at(url).delete()


def remove_unfinished(folder: str) -> int:
    """See `Place.remove_unfinished`."""
    return at(folder).remove_unfinished()


def polars_options(url: str, options: Options | None = None) -> dict[str, str] | None:
    """See `Place.polars_options`."""
    return at(url, options).polars_options()
