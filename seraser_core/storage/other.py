"""Google, Azure and whatever else fsspec reaches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, TypeVar

import fsspec

from seraser_core.proxies import http_proxy_for
from seraser_core.proxy_check import check_proxy
from seraser_core.storage.locations import scheme
from seraser_core.storage.place import FileInfo, Place, UnconditionalError

T = TypeVar("T")
_BLOCK = 2**20
"""Bytes that are read at once of a file of which parts are wanted."""
_GOOGLE = "https://storage.googleapis.com"
_checked: set[tuple[str, str]] = set()


class OtherPlace(Place):
    """A file or a folder in a file system of fsspec, of which nothing else is known."""

    @property
    def fs(self) -> Any:
        """The fsspec file system; its listings are never cached."""
        return self._client[0]

    @property
    def path(self) -> str:
        """The path in it."""
        return self._client[1]

    def prepare(self) -> None:
        """See `Place.prepare`."""
        _ = self._client

    @cached_property
    def _client(self) -> tuple[Any, str]:
        options = {"use_listings_cache": False, **self.options}
        for name, own in self._own_options().items():
            options[name] = {**own, **options.get(name, {})}
        if not scheme(self.url):  # a chain such as simplecache::s3://bucket/key
            return fsspec.core.url_to_fs(self.url, **options)
        # Not url_to_fs: a `::` in the name of an object would lead to another file system.
        kind = self._kind()
        return kind(**{**kind._get_kwargs_from_urls(self.url), **options}), kind._strip_protocol(
            self.url
        )

    def _kind(self) -> Any:
        """Class of the file system."""
        return fsspec.get_filesystem_class(scheme(self.url))

    def _own_options(self) -> dict[str, dict[str, Any]]:
        """Options of the file system which those that were given are laid over, name by name."""
        return {}

    def _ask(self, attempt: Callable[[], T]) -> T:
        """Call `attempt`; with retries, where the file system has none of its own."""
        return attempt()

    def _read(self, most: int | None, version: str | None) -> bytes:
        # A server may give more than it was asked for.
        return bytes(self._ask(lambda: self.fs.cat_file(self.path, end=most)))[:most]

    def _read_range(self, start: int, length: int, version: str | None) -> bytes:
        if not length:
            return b""
        self._check_once(version)
        end = start + length
        data = self._ask(lambda: self.fs.cat_file(self.path, start=start, end=end))
        if len(data) > length:
            raise ValueError(f"the server of {self.url} gives no parts of files")
        return bytes(data)

    @contextmanager
    def _open(self, version: str | None) -> Iterator[IO[bytes]]:
        how = {"block_size": _BLOCK, "cache_type": "readahead"}
        with self._ask(lambda: self.fs.open(self.path, "rb", **how)) as file:
            self._check_once(version)
            yield file

    def _check_once(self, wanted: str | None) -> None:
        """Compare versions, once per process: where reading has no conditions, this asks anew."""
        if wanted is not None and (self.url, wanted) not in _checked:
            self._check_version(self._version(), wanted)
            _checked.add((self.url, wanted))

    def _version(self) -> str:
        return str(self._ask(lambda: self.fs.ukey(self.path)))

    def _names(self, kind: Literal["file", "directory"]) -> list[str]:
        try:
            entries = self.fs.ls(self.path, detail=True)
        except FileNotFoundError:
            return []
        itself = self.path.rstrip("/")  # as some stores keep a folder whose files are gone
        paths = [entry["name"].rstrip("/") for entry in entries if entry["type"] == kind]
        return [PurePosixPath(path).name for path in paths if path != itself]

    def _find_files(self, prefix: str) -> dict[str, FileInfo]:
        folder = self.path.rstrip("/") + "/"
        only = {"prefix": prefix} if prefix else {}
        return {
            path.removeprefix(folder): self._listed(entry)
            for path, entry in self.fs.find(self.path, detail=True, **only).items()
            if path.startswith(folder)
        }

    def _find(self) -> FileInfo:
        return self._listed(self.fs.info(self.path))

    def _listed(self, entry: dict[str, Any]) -> FileInfo:
        """A file from an entry of a listing."""
        return FileInfo(int(entry.get("size") or 0))

    def _exists(self) -> bool:
        return bool(self.fs.exists(self.path))

    def _fetch(self, path: Path) -> None:
        self._ask(lambda: self.fs.get_file(self.path, str(path)))

    def _write(self, data: bytes) -> None:
        self.fs.pipe_file(self.path, data)

    def _create(self, data: bytes) -> bool:
        raise UnconditionalError

    def _delete(self) -> None:
        self.fs.rm_file(self.path)


class CloudPlace(OtherPlace):
    """A blob of Azure or an object of Google, which fsspec's clients create if there is none."""

    def _create(self, data: bytes) -> bool:
        try:
            self.fs.pipe_file(self.path, data, mode="create")
        except FileExistsError:
            return False
        return True


class GooglePlace(CloudPlace):
    """An object or a folder of objects of Google Cloud Storage."""

    def _own_options(self) -> dict[str, dict[str, Any]]:
        return {"session_kwargs": proxy_of(os.environ.get("STORAGE_EMULATOR_HOST") or _GOOGLE)}


def proxy_of(url: str) -> dict[str, str]:
    """The option with which aiohttp asks the server of `url`, which takes none by itself.

    Raises:
        ConfigError: The proxy is not there, or cannot be used.
    """
    proxy = http_proxy_for(url)
    if proxy is None:
        return {}
    check_proxy(url)
    return {"proxy": proxy}
