"""Writing files whole or not at all, and removing them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from seraser_core.errors import ChangedError
from seraser_core.faults import BEHIND_END_CODES, CHANGED_CODES, s3_code, sorted_faults
from seraser_core.storage.listing import strong_tag
from seraser_core.storage.places import filesystem, is_local, is_s3, local_path
from seraser_core.storage.reading import read_bytes

_OTHER_CODES = (*CHANGED_CODES, "NoSuchKey", "404")
_NO_CONDITION_CODES = ("NotImplemented", "501")


class Seen(NamedTuple):
    """What was at a place when it was looked at.

    Attributes:
        data: Its bytes; None when there was no file.
        tag: Of an object in S3, which can be asked for by it.
    """

    data: bytes | None
    tag: str | None = None


def write_bytes(url: str, data: bytes) -> None:
    """Write `data` to `url` whole or not at all.

    Local: a temporary file in the same folder, fsync, rename, fsync of the folder. Object
    storage: one put of the finished bytes.

    Raises:
        As `read_bytes`.
    """
    _write(url, data, None)


def look(url: str) -> Seen:
    """What is at `url` now, for `replace`.

    Raises:
        As `read_bytes`, but for a file that is missing.
    """
    try:
        if not is_s3(url):
            return Seen(read_bytes(url))
        with sorted_faults("read", url):
            fs, path = filesystem(url)
            try:
                data, tag = fs.look(path)
            except OSError as error:
                if s3_code(error) not in BEHIND_END_CODES:
                    raise
                data, tag = b"", fs.info(path).get("ETag")  # an empty object has no first byte
            return Seen(data, strong_tag(tag))
    except FileNotFoundError:
        return Seen(None)


def replace(url: str, data: bytes, seen: Seen) -> None:
    """Write `data` as `write_bytes` does if at `url` is still what was seen there, or `data`.

    It is looked at right before; of two that do so in the same instant, the last one wins. S3
    compares it as well, in the step in which it writes, and knows no such instant; but there are
    stores that cannot, and say so or do not.

    Raises:
        ChangedError: There is something else; it stays.
        As `read_bytes`.
    """
    _write(url, data, seen)


def _write(url: str, data: bytes, seen: Seen | None) -> None:
    def check() -> None:
        if seen is not None and look(url).data not in (seen.data, data):
            raise ChangedError(f"{url} was replaced meanwhile")

    with sorted_faults("write", url):
        if is_local(url):
            _write_local(local_path(url), data, check)
            return
        fs, path = filesystem(url)
        check()
        if is_s3(url) and seen is not None and (seen.data is None or seen.tag is not None):
            try:
                fs.put_over(path, data, seen.tag)
                return
            except OSError as error:
                if s3_code(error) in _OTHER_CODES:
                    if look(url).data == data:  # of a try before, or of another writer
                        return
                    raise ChangedError(f"{url} was replaced meanwhile") from error
                if s3_code(error) not in _NO_CONDITION_CODES:
                    raise
        fs.pipe_file(path, data)


def write_json(url: str, document: Any) -> None:
    """Write `document` as JSON with sorted keys, whole or not at all."""
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_bytes(url, (text + "\n").encode())


def delete(url: str) -> None:
    """Remove the file at `url`; nothing happens when it is not there."""
    with sorted_faults("remove", url):
        fs, path = filesystem(url)
        try:
            fs.rm_file(path)
        except FileNotFoundError:
            return


def _write_local(path: Path, data: bytes, check: Callable[[], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        check()
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
