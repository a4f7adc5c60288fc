"""Where files are, and the file system that has them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
import fsspec

from seraser_core.backoff import again
from seraser_core.proxies import http_proxy_for
from seraser_core.proxy_check import check_proxy

if TYPE_CHECKING:
    from seraser_core.s3 import Store

Options = Mapping[str, Any]
T = TypeVar("T")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_GOOGLE = "https://storage.googleapis.com"
_WEB_TIMES = aiohttp.ClientTimeout(total=300, sock_connect=10, sock_read=30)


def is_local(url: str) -> bool:
    """Whether `url` names a file on this machine's disk."""
    return url.startswith(("/", "file://", "local://")) or "://" not in url


def absolute(url: str, base: str | Path) -> str:
    """`url` itself when it is absolute, else joined to the folder `base` (a path or a URL).

    Raises:
        ValueError: It begins with the home of a user that this machine does not know.
    """
    if "://" in url:
        return local_path(url).as_posix() if is_local(url) else url
    try:
        path = Path(url).expanduser()
    except RuntimeError:
        raise ValueError(
            f"no home folder is known for {Path(url).parts[0]}; write the whole path"
        ) from None
    if path.is_absolute():
        return path.as_posix()
    if "://" in str(base) and not is_local(str(base)):
        return join(str(base), url)
    return Path(os.path.normpath(local_path(str(base)).absolute() / path)).as_posix()


def local_path(url: str) -> Path:
    """The path of a local location (with or without ``file://``)."""
    return Path(url.removeprefix("file://").removeprefix("local://"))


def join(base: str, *parts: str) -> str:
    """`base` and `parts` joined with single slashes."""
    return "/".join([base.rstrip("/"), *(part.strip("/") for part in parts)])


def parent(url: str) -> str:
    """The folder that holds `url`."""
    if "://" not in url:
        return Path(url).parent.as_posix()
    scheme, rest = url.split("://", 1)
    return f"{scheme}://{PurePosixPath(rest).parent.as_posix()}"


def filesystem(url: str, options: Options | None = None) -> tuple[fsspec.AbstractFileSystem, str]:
    """The fsspec file system of `url` and the path inside it; listings are never cached.

    Raises:
        ConfigError: The proxy that leads to it is not there, or cannot be used.
        ValueError: The scheme of `url` is not known.
        ImportError: The scheme needs a package that is not installed.
    """
    extra = dict(options or {})
    if is_local(url):
        return fsspec.filesystem("file", **extra), str(local_path(url).absolute())
    extra.setdefault("use_listings_cache", False)
    if is_web(url):
        own = {"timeout": _WEB_TIMES, **_proxy_of(url)}
        extra["client_kwargs"] = {**own, **extra.get("client_kwargs", {})}
    elif is_s3(url):
        from seraser_core.s3 import proxies_of  # see `_store`

        extra["config_kwargs"] = {**proxies_of(extra), **extra.get("config_kwargs", {})}
    elif url.startswith(("gs://", "gcs://")):
        server = os.environ.get("STORAGE_EMULATOR_HOST") or _GOOGLE
        extra["session_kwargs"] = {**_proxy_of(server), **extra.get("session_kwargs", {})}
    if not _SCHEME.match(url):  # a chain such as simplecache::s3://bucket/key
        return fsspec.core.url_to_fs(url, **extra)
    # Not url_to_fs: a `::` in the name of an object would lead to another file system.
    kind = _store() if is_s3(url) else fsspec.get_filesystem_class(url.partition("://")[0])
    return kind(**{**kind._get_kwargs_from_urls(url), **extra}), kind._strip_protocol(url)


def _proxy_of(url: str) -> dict[str, str]:
    """The option with which aiohttp asks the server of `url`, which takes none by itself.

    Raises:
        ConfigError: See `filesystem`.
    """
    proxy = http_proxy_for(url)
    if proxy is None:
        return {}
    check_proxy(url)
    return {"proxy": proxy}


def is_s3(url: str) -> bool:
    return url.startswith(("s3://", "s3a://"))


def is_web(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _store() -> type[Store]:
    from seraser_core.s3 import Store  # takes most of a second, which local runs need not wait

    return Store


def tried(url: str, attempt: Callable[[], T]) -> T:
    """What `attempt` returns; it is repeated where the client itself repeats nothing.

    `Store` makes its requests again one by one, as the clients of Google and Azure do.
    """
    return again(attempt) if is_web(url) else attempt()


def polars_options(url: str, options: Options | None = None) -> dict[str, str] | None:
    """Options with which Polars reads `url`, from the same environment that fsspec uses."""
    if not is_s3(url):
        return None
    given = dict(options or {})
    endpoint = (
        given.get("endpoint_url")
        or (given.get("client_kwargs") or {}).get("endpoint_url")
        or os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
    )
    found = {"aws_skip_signature": "true"} if given.get("anon") else {}
    if not endpoint:
        return found or None
    found["aws_endpoint_url"] = endpoint
    found["aws_region"] = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
    if endpoint.startswith("http://"):
        found["aws_allow_http"] = "true"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        if name in os.environ:
            found[name.lower()] = os.environ[name]
    return found
