"""Objects in S3 and stores that speak as it does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from seraser_core.faults import CHANGED_CODES, s3_code
from seraser_core.storage.other import OtherPlace
from seraser_core.storage.place import FileInfo, Place, UnconditionalError
from seraser_core.storage.s3_client import Store, proxies_of

_NO_CONDITION_CODES = ("NotImplemented", "501")


class S3Place(OtherPlace):
    """An object or a folder of objects; versions are tags, with which objects are asked for."""

    def polars_options(self) -> dict[str, str] | None:
        """See `Place.polars_options`."""
        endpoint = (
            self.options.get("endpoint_url")
            or (self.options.get("client_kwargs") or {}).get("endpoint_url")
            or os.environ.get("AWS_ENDPOINT_URL_S3")
            or os.environ.get("AWS_ENDPOINT_URL")
        )
        options = {"aws_skip_signature": "true"} if self.options.get("anon") else {}
        if not endpoint:
            return options or None
        options["aws_endpoint_url"] = endpoint
        options["aws_region"] = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
        if endpoint.startswith("http://"):
            options["aws_allow_http"] = "true"
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            if name in os.environ:
                options[name.lower()] = os.environ[name]
        return options

    def _kind(self) -> type[Store]:
        return Store

    def _own_options(self) -> dict[str, dict[str, Any]]:
        return {"config_kwargs": proxies_of(self.options)}

    def _read(self, most: int | None, version: str | None) -> bytes:
        with self._of_version(version):
            return bytes(self.fs.read(self.path, most, version))

    def _read_range(self, start: int, length: int, version: str | None) -> bytes:
        if not length:
            return b""
        with self._of_version(version):
            return bytes(self.fs.read_part(self.path, start, length, version))

    @contextmanager
    def _of_version(self, version: str | None) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # Without a version, it was replaced while it was read, which passes.
            if version is not None and s3_code(error) in CHANGED_CODES:
                raise self._changed() from error
            raise

    @contextmanager
    def _open(self, version: str | None) -> Iterator[IO[bytes]]:
        with self.fs.open_parts(self.path) as file:
            # It reads none but the object that it saw here.
            self._check_version(str(file.details.get("ETag")), version)
            yield file

    def _version(self) -> str:
        return str(self.fs.info(self.path).get("ETag"))

    def _listed(self, entry: dict[str, Any]) -> FileInfo:
        tag = entry.get("ETag")
        return super()._listed(entry)._replace(version=_strong(tag), mark=tag)

    def _fetch(self, path: Path) -> None:
        self.fs.fetch(self.path, path)

    def _create(self, data: bytes) -> bool:
        try:
            return bool(self.fs.create(self.path, data))
        except OSError as error:
            if s3_code(error) in _NO_CONDITION_CODES:
                raise UnconditionalError from error
            raise

    def _publish(self, source: Place) -> None:
        if isinstance(source, S3Place):
            self.fs.copy_object(source.path, self.path)
        else:
            super()._publish(source)


def _strong(tag: str | None) -> str | None:
    """A tag with which objects can be asked for: weak ones, ``W/"..."``, never match."""
    return tag if tag and not tag.startswith("W/") else None
