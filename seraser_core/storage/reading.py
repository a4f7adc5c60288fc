"""Reading files, and parts of them, of the version that is wanted."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import fsspec

from seraser_core.errors import ChangedError
from seraser_core.faults import BEHIND_END_CODES, CHANGED_CODES, s3_code, sorted_faults
from seraser_core.storage.places import (
    Options,
    filesystem,
    is_local,
    is_s3,
    is_web,
    local_path,
    tried,
)

_BLOCK = 2**20
"""Bytes that are read at once of a file of which parts are wanted."""


def read_bytes(
    url: str,
    options: Options | None = None,
    most: int | None = None,
    version: str | None = None,
) -> bytes:
    """All bytes of `url`, or its first `most` bytes.

    Args:
        url: A file.
        options: fsspec options.
        most: Number of bytes; None for all.
        version: What `find_files` said of the file; None to take what is there.

    Raises:
        ChangedError: The file is not of that version.
        FileNotFoundError: There is no file, or there can be none of that name.
        PermissionError: It may not be read.
        TransientError: A fault that may pass.
        ValueError, ImportError: The location cannot be used; see `filesystem`.
    """
    with sorted_faults("read", url):
        if is_local(url):
            return _read_local(local_path(url), most)
        fs, path = filesystem(url, options)
        try:
            if is_s3(url):
                return fs.read(path, most, version)
            # A web server may give more than it was asked for.
            return bytes(tried(url, lambda: fs.cat_file(path, end=most)))[:most]
        except OSError as error:
            # Without a version, it was replaced while it was read, which passes.
            if version is not None and s3_code(error) in CHANGED_CODES:
                raise ChangedError(_changed(url)) from error
            if s3_code(error) in BEHIND_END_CODES:  # the first bytes of an empty object
                return b""
            raise


def read_range(
    url: str, start: int, length: int, options: Options | None = None, version: str | None = None
) -> bytes:
    """`length` bytes of `url` from `start` on, fewer where it ends before.

    Args:
        url: A file.
        start: First byte.
        length: Number of bytes.
        options: fsspec options.
        version: What `version` said of the file; None to take what is there.

    Raises:
        ChangedError: The file is not of that version.
        As `read_bytes`.
    """
    with sorted_faults("read", url):
        if is_local(url):
            regular_size(local_path(url))
            with local_path(url).open("rb") as file:
                _check_version(_local_version(os.fstat(file.fileno())), version, url)
                file.seek(start)
                return file.read(length)
        fs, path = filesystem(url, options)
        if not length:
            return b""
        try:
            if is_s3(url):
                return fs.read_part(path, start, length, version)
            if version is not None:
                _check_once(url, version, options)
            data = tried(url, lambda: fs.cat_file(path, start=start, end=start + length))
        except OSError as error:
            if s3_code(error) in CHANGED_CODES:
                raise ChangedError(_changed(url)) from error
            if s3_code(error) in BEHIND_END_CODES:
                return b""
            raise
        if len(data) > length:
            raise ValueError(f"the server of {url} gives no parts of files")
        return bytes(data)


@contextmanager
def open_file(
    url: str, options: Options | None = None, version: str | None = None
) -> Iterator[IO[bytes]]:
    """Open `url` to read parts of it.

    Raises:
        ChangedError: The file is not of that version, see `read_range`.
        As `read_bytes`, also while it is read.
    """
    with sorted_faults("read", url):
        fs, path = filesystem(url, options)
        if is_local(url):
            regular_size(local_path(url))
        with _open_parts(fs, path, url) as file:
            if is_local(url):
                _check_version(_local_version(os.fstat(file.fileno())), version, url)
            elif is_s3(url):  # it reads none but the object that it saw here
                _check_version(str(file.details.get("ETag")), version, url)
            elif version is not None:
                _check_once(url, version, options)
            yield file


def _open_parts(fs: fsspec.AbstractFileSystem, path: str, url: str) -> Any:
    if is_s3(url):
        return fs.open_parts(path)
    return tried(url, lambda: fs.open(path, "rb", block_size=_BLOCK, cache_type="readahead"))


def version(url: str, options: Options | None = None) -> str:
    """What changes when the content of `url` does: its tag, or its size and time of change.

    Raises:
        As `read_bytes`.
    """
    with sorted_faults("look at", url):
        if is_local(url):
            return _local_version(local_path(url).stat())
        fs, path = filesystem(url, options)
        if is_s3(url):
            return str(fs.info(path).get("ETag"))
        if is_web(url):  # whose own key knows nothing but the URL
            info = tried(url, lambda: fs.info(path))
            return " ".join(str(info.get(name)) for name in ("size", "ETag", "Last-Modified"))
        return str(tried(url, lambda: fs.ukey(path)))


def _local_version(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns}"


def _check_version(found: str, wanted: str | None, url: str) -> None:
    if wanted not in (None, found):
        raise ChangedError(_changed(url))


def _changed(url: str) -> str:
    return f"{url} is not the file that was planned with; plan the run anew"


_checked: set[tuple[str, str]] = set()


def _check_once(url: str, wanted: str, options: Options | None) -> None:
    """Compare versions, once per process: where reading has no conditions, this asks anew."""
    if (url, wanted) not in _checked:
        _check_version(version(url, options), wanted, url)
        _checked.add((url, wanted))


def local_size(url: str) -> int | None:
    """Bytes of the file at `url` on this machine's disk; None for other locations.

    Raises:
        As `read_bytes`.
    """
    if not is_local(url):
        return None
    with sorted_faults("look at", url):
        return regular_size(local_path(url))


def read_json(url: str, options: Options | None = None) -> Any:
    """The JSON document at `url`."""
    return json.loads(read_bytes(url, options))


def exists(url: str, options: Options | None = None) -> bool:
    """Whether there is a file at `url`."""
    with sorted_faults("look for", url):
        fs, path = filesystem(url, options)
        if is_web(url):  # without `strict`, what it cannot say is called missing
            return bool(tried(url, lambda: fs.exists(path, strict=True)))
        return bool(fs.exists(path))


def fetch_file(url: str, place: Path) -> None:
    """Copy a file to this machine's disk, whole or not at all.

    Raises:
        As `read_bytes`.
    """
    with sorted_faults("fetch", url):
        fs, path = filesystem(url)
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=place.parent) as folder:
            part = Path(folder) / "part"
            if is_s3(url):
                fs.fetch(path, part)
            else:
                tried(url, lambda: fs.get_file(path, str(part)))
            part.replace(place)


def regular_size(path: Path) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe or device might never end
        raise FileNotFoundError(f"{path} is not a file")
    return status.st_size


def _read_local(path: Path, most: int | None) -> bytes:
    size = regular_size(path)
    with path.open("rb") as file:
        # Python sets aside as many bytes as it is asked for, even where the file is small.
        return file.read() if most is None else file.read(min(most, size + 1))
