"""Files on a local disk and in object storage behind one set of functions.

A location is a plain local path or any fsspec URL (``s3://bucket/key``). Credentials are never
passed here: they come from the environment or a profile.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from botocore.exceptions import BotoCoreError, ClientError
from fsspec.utils import get_protocol

from seraser_core.errors import TransientError

Options = Mapping[str, Any]
PASSING_FAULTS = (OSError, TimeoutError, BotoCoreError, ClientError)
"""What storage raises beside missing and forbidden files: throttling, time-outs, lost connections."""


def is_local(url: str) -> bool:
    """Whether `url` names a file on this machine's disk."""
    return get_protocol(url) in ("file", "local")


def absolute(url: str, base: str | Path) -> str:
    """`url` itself when it is absolute, else joined to the folder `base` (a path or a URL)."""
    if "://" in url:
        return local_path(url).as_posix() if is_local(url) else url
    path = Path(url).expanduser()
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
    """The fsspec file system of `url` and the path inside it; listings are never cached."""
    extra = dict(options or {})
    if not is_local(url):
        extra.setdefault("use_listings_cache", False)
    return fsspec.core.url_to_fs(url, **extra)


def read_bytes(url: str, options: Options | None = None, most: int | None = None) -> bytes:
    """All bytes of `url`, or its first `most` bytes.

    Raises:
        FileNotFoundError: There is nothing there.
        PermissionError: It may not be read.
        TransientError: A fault that may pass.
    """
    fs, path = filesystem(url, options)
    try:
        return fs.cat_file(path, end=most)
    except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError):
        raise
    except PASSING_FAULTS as error:
        raise TransientError(f"cannot read {url}: {error}") from error


def read_json(url: str, options: Options | None = None) -> Any:
    """The JSON document at `url`."""
    return json.loads(read_bytes(url, options))


def exists(url: str, options: Options | None = None) -> bool:
    """Whether there is a file at `url`."""
    fs, path = filesystem(url, options)
    return fs.exists(path)


def list_files(folder: str, options: Options | None = None) -> list[str]:
    """Names of the files directly in `folder`, sorted; empty when it does not exist."""
    fs, path = filesystem(folder, options)
    try:
        found = fs.ls(path, detail=True)
    except FileNotFoundError:
        return []
    return sorted(PurePosixPath(f["name"]).name for f in found if f["type"] == "file")


def write_bytes(url: str, data: bytes, options: Options | None = None) -> None:
    """Write `data` to `url` whole or not at all.

    Local: a temporary file in the same folder, fsync, rename, fsync of the folder. Object
    storage: one put of the finished bytes.
    """
    if is_local(url):
        _write_local(local_path(url), data)
        return
    fs, path = filesystem(url, options)
    fs.pipe_file(path, data)


def write_json(url: str, document: Any, options: Options | None = None) -> None:
    """Write `document` as JSON with sorted keys, whole or not at all."""
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_bytes(url, (text + "\n").encode(), options)


def delete(url: str, options: Options | None = None) -> None:
    """Remove the file at `url`; nothing happens when it is not there."""
    fs, path = filesystem(url, options)
    try:
        fs.rm_file(path)
    except FileNotFoundError:
        return


def polars_options(url: str, options: Options | None = None) -> dict[str, str] | None:
    """Options with which Polars reads `url`, from the same environment that fsspec uses."""
    if is_local(url):
        return None
    given = dict(options or {})
    endpoint = (
        given.get("endpoint_url")
        or (given.get("client_kwargs") or {}).get("endpoint_url")
        or os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
    )
    if not endpoint:
        return None
    found = {
        "aws_endpoint_url": endpoint,
        "aws_region": os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
    }
    if endpoint.startswith("http://"):
        found["aws_allow_http"] = "true"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        if name in os.environ:
            found[name.lower()] = os.environ[name]
    return found


def _write_local(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
