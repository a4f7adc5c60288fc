"""S3 with every request bounded in time, compared with what was asked, and made again.

s3fs and botocore each have retries of their own, which multiply (25 requests for one read of a
server that says SlowDown), end before the body begins, and know no time for a whole answer. Here
both are switched off, and one policy holds for all that is asked: see `seraser_core.backoff`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from botocore.exceptions import ClientError
from botocore.session import Session
from fsspec.asyn import sync
from s3fs.core import S3File, S3FileSystem, version_id_kw
from s3fs.errors import translate_boto_error

from seraser_core.backoff import Backoff
from seraser_core.faults import BEHIND_END_CODES, CHANGED_CODES, is_stale, s3_code
from seraser_core.proxies import has_proxies, http_proxy_for
from seraser_core.proxy_check import check_proxy

T = TypeVar("T")
_BLOCK = 2**20
"""Bytes that are read at once of a file of which parts are wanted."""
PART = 16 * 2**20
"""Bytes of an object that one request asks for."""
_PARTS_AT_ONCE = 8
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")

CONFIG = {
    "connect_timeout": 10,
    "read_timeout": 30,  # between two pieces of an answer
    "max_pool_connections": 64,  # botocore's own 10 would be what bounds the reading
    "retries": {"total_max_attempts": 1},
}
"""Our settings of botocore."""
ANSWER_S = 60.0
"""For a whole answer, beside the time of its bytes: those that drip never meet `read_timeout`."""
SLOWEST = 16 * 2**10
"""Bytes per second, below which a body is given up."""


def proxies_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The setting of botocore with which a store is asked through the environment's proxy.

    Its own choice knows neither ``ALL_PROXY`` nor all of loopback.

    Args:
        options: fsspec options.

    Raises:
        ConfigError: The proxy is not there, or cannot be used.
    """
    if not has_proxies():
        return {}
    url = _address(options)
    proxy = http_proxy_for(url)
    check_proxy(url)
    return {"proxies": {} if proxy is None else {urlsplit(url).scheme: proxy}}


def _address(options: Mapping[str, Any]) -> str:
    """URL of the store's server, as the options, the environment or a profile have it."""
    client = options.get("client_kwargs") or {}
    given = options.get("endpoint_url") or client.get("endpoint_url")
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        given = given or os.environ.get(name)
    if given:
        return str(given)
    files = [os.environ.get(name) for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")]
    profile = options.get("profile") or os.environ.get("AWS_PROFILE")
    configured, region = _profile(profile, *files)
    region = client.get("region_name") or os.environ.get("AWS_DEFAULT_REGION") or region
    return configured or f"https://s3.{f'{region}.' if region else ''}amazonaws.com"


@cache
def _profile(name: str | None, *files: str | None) -> tuple[str | None, str | None]:
    """The server and the region that a profile in the configuration of AWS names.

    Args:
        name: Of the profile; None for the default.
        files: Where the configuration is, if not in its usual place.
    """
    session = Session(profile=name)
    profile = session.get_scoped_config()
    services = session.full_config.get("services", {}).get(profile.get("services"), {})
    given = services.get("s3", {}).get("endpoint_url") or profile.get("endpoint_url")
    return given, profile.get("region")


class Part(NamedTuple):
    """Some bytes of an object, of how many in all, and its tag."""

    data: bytes
    total: int
    tag: str | None


class Store(S3FileSystem):
    """An object store; what is not overridden asks by `_call_s3` too."""

    retries = 1  # of s3fs: that is none

    def __init__(self, *given: Any, **kwargs: Any) -> None:
        super().__init__(*given, **kwargs)
        self._renewing = asyncio.Lock()

    def _prepare_config_kwargs(self) -> dict[str, Any]:
        return CONFIG | self.config_kwargs

    async def _call_s3(self, method: str, *given: Any, **kwargs: Any) -> Any:
        call = super()._call_s3

        async def ask(_: asyncio.Timeout) -> Any:
            try:
                return await call(method, *given, **kwargs)
            except OSError as error:
                if method != "head_object" or s3_code(error) not in ("400", "403"):
                    raise
                # The refusal of a HEAD does not say why. That of a GET does, and takes the same
                # permission; when there is none, the HEAD was refused by mistake.
                with suppress(FileNotFoundError):
                    answer = await call("get_object", Range="bytes=0-0", **kwargs)
                    answer["Body"].close()
                return await call(method, *given, **kwargs)

        return await self._again(ask, len(kwargs.get("Body") or b""))

    def read(self, path: str, most: int | None = None, tag: str | None = None) -> bytes:
        """Read all bytes of an object, or its first `most`, of one version.

        That is the one of this tag, when there is one.

        Raises:
            OSError, BotoCoreError: As s3fs.
        """

        async def read() -> bytes:
            return b"".join([part.data async for part in self._parts(path, most, tag)])

        return bytes(sync(self.loop, read))

    def create(self, path: str, data: bytes) -> bool:
        """Put an object if there is none.

        Returns:
            True if this call put it, though the answer may have been lost; False if there was one.

        Raises:
            OSError, BotoCoreError: As s3fs; `NotImplemented` from a store without conditions.
        """
        bucket, key, _ = self.split_path(path)
        place = {"Bucket": bucket, "Key": key}
        # aiohttp repeats requests too, and tells nobody: the object has to say who put it.
        mark = {"created-by": uuid4().hex}
        condition = {"IfNoneMatch": "*", "Metadata": mark}
        try:
            sync(self.loop, self._call_s3, "put_object", Body=data, **place, **condition)
        except OSError as error:
            if s3_code(error) not in CHANGED_CODES:
                raise
            try:
                head = sync(self.loop, self._call_s3, "head_object", **place)
            except FileNotFoundError:  # it is gone again, or a folder has its name
                return False
            return bool(head.get("Metadata") == mark)
        return True

    def copy_object(self, source: str, target: str) -> None:
        """Copy an object of at most 5 GB within the store, in one request.

        Raises:
            OSError, BotoCoreError: As s3fs.
        """
        (from_bucket, from_key, _), (bucket, key, _) = map(self.split_path, (source, target))
        place = {"CopySource": {"Bucket": from_bucket, "Key": from_key}}
        sync(self.loop, self._call_s3, "copy_object", Bucket=bucket, Key=key, **place)

    def read_part(self, path: str, start: int, length: int, tag: str | None = None) -> bytes:
        """Up to `length` bytes from `start` on, fewer where it ends; of the object of this tag.

        Raises:
            As `read`.
        """
        try:
            return bytes(sync(self.loop, self._part, path, start, length, tag).data)
        except OSError as error:
            if s3_code(error) in BEHIND_END_CODES:
                return b""
            raise

    def fetch(self, path: str, place: Path) -> None:
        """Write the bytes of an object to a local file.

        Raises:
            As `read`.
        """

        async def fetch() -> None:
            with place.open("wb") as file:
                async for part in self._parts(path, None):
                    file.write(part.data)

        sync(self.loop, fetch)

    def open_parts(self, path: str) -> S3File:
        """An object whose parts are read when they are wanted; none of another object.

        Raises:
            As `read`, also while it is read.
        """
        return _File(self, path, "rb", block_size=_BLOCK, cache_type="readahead")

    async def _parts(
        self, path: str, most: int | None, tag: str | None = None
    ) -> AsyncIterator[Part]:
        try:
            first = await self._part(path, 0, PART if most is None else min(most, PART), tag)
        except OSError as error:
            if s3_code(error) in BEHIND_END_CODES:  # an empty object has no first byte
                return
            raise
        yield first
        end = first.total if most is None else min(most, first.total)
        starts = range(len(first.data), end, PART)
        for i in range(0, len(starts), _PARTS_AT_ONCE):
            asked = [
                self._part(path, start, min(PART, end - start), first.tag)
                for start in starts[i : i + _PARTS_AT_ONCE]
            ]
            for part in await asyncio.gather(*asked):
                yield part

    async def _part(self, path: str, start: int, length: int, tag: str | None = None) -> Part:
        bucket, key, number = self.split_path(path)
        place = {"Bucket": bucket, "Key": key, **version_id_kw(number)}
        wanted = {"Range": f"bytes={start}-{start + length - 1}"}
        if tag is not None:
            wanted["IfMatch"] = tag
        call = super()._call_s3

        async def ask(limit: asyncio.Timeout) -> Part:
            answer = await call("get_object", **place, **wanted)
            limit.reschedule(_end(int(answer["ContentLength"])))
            async with answer["Body"] as body:
                if tag is not None and answer.get("ETag") != tag:  # a store without conditions
                    raise translate_boto_error(_other_object())
                data = await body.read()
            told = _RANGE.fullmatch(answer.get("ContentRange") or "")
            if told:
                first, total = int(told[1]), int(told[2])
            else:  # all of the object, perhaps; a range that covers it may be ignored
                head = await call("head_object", **place)
                first, total = 0, int(head["ContentLength"])
            # A whole answer may be less than what was asked for.
            expected = min(length, total - start) if told else total
            if first != start or len(data) != expected:
                raise ConnectionError(
                    f"{len(data)} bytes from byte {first} on came, not {expected} from {start} on"
                )
            return Part(data[:length], total, answer.get("ETag"))

        return await self._again(ask)

    async def _again(self, ask: Callable[[asyncio.Timeout], Awaitable[T]], sent: int = 0) -> T:
        """Call `ask`, with retries after faults that may pass soon; return its result.

        Credentials that are refused as stale are taken anew from where they come from, once.

        Args:
            ask: Makes a request and reads its answer, for which it may move the limit in time.
            sent: Bytes of the request.
        """
        backoff, renewed = Backoff(), False
        while True:
            client = self._s3
            try:
                async with asyncio.timeout_at(_end(sent)) as limit:
                    return await ask(limit)
            except Exception as error:
                fault = error
                if limit.expired():
                    # No TimeoutError: fsspec would put one without this text in its place.
                    fault = ConnectionAbortedError("it took too long to answer")
                if is_stale(error) and not renewed:
                    renewed = True
                    async with self._renewing:
                        if self._s3 is client:  # else another request has done so
                            await self.set_session(refresh=True)
                    continue
                pause = backoff.after(fault)
                if pause is None:
                    raise fault from fault.__cause__
            await asyncio.sleep(pause)


def _other_object() -> ClientError:
    refusal = {"Code": "PreconditionFailed", "Message": "it is another object"}
    return ClientError({"Error": refusal}, "GetObject")


def _end(size: int) -> float:
    """Return the time of the event loop at which a transfer of some bytes has taken too long."""
    return asyncio.get_running_loop().time() + ANSWER_S + size / SLOWEST


class _File(S3File):
    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.read_part(self.path, start, end - start, self.details.get("ETag"))
