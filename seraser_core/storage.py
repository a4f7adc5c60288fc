"""Files on a local disk and in object storage behind one set of functions.

A location is a plain local path or any fsspec URL (``s3://bucket/key``). Credentials are never
passed here: they come from the environment or a profile.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar

import aiohttp
import fsspec

from seraser_core.backoff import again
from seraser_core.errors import ChangedError
from seraser_core.faults import BEHIND_END_CODES, CHANGED_CODES, s3_code, sorted_faults

if TYPE_CHECKING:
    from seraser_core.s3 import Store

Options = Mapping[str, Any]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BLOCK = 2**20
"""Bytes that are read at once of a file of which parts are wanted."""
_WEB_TIMES = aiohttp.ClientTimeout(total=300, sock_connect=10, sock_read=30)
_UNFINISHED_S = 3600
T = TypeVar("T")


class Found(NamedTuple):
    """What a listing tells of a file: its bytes, and its version where a reader can ask for it."""

    size: int
    version: str | None = None


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
        ValueError: The scheme of `url` is not known.
        ImportError: The scheme needs a package that is not installed.
    """
    extra = dict(options or {})
    if is_local(url):
        return fsspec.filesystem("file", **extra), str(local_path(url).absolute())
    extra.setdefault("use_listings_cache", False)
    if _is_web(url):
        extra["client_kwargs"] = {"timeout": _WEB_TIMES, **extra.get("client_kwargs", {})}
    if not _SCHEME.match(url):  # a chain such as simplecache::s3://bucket/key
        return fsspec.core.url_to_fs(url, **extra)
    # Not url_to_fs: a `::` in the name of an object would lead to another file system.
    kind = _store() if _is_s3(url) else fsspec.get_filesystem_class(url.partition("://")[0])
    return kind(**{**kind._get_kwargs_from_urls(url), **extra}), kind._strip_protocol(url)


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
            if _is_s3(url):
                return fs.read(path, most, version)
            # A web server may give more than it was asked for.
            return bytes(_tried(url, lambda: fs.cat_file(path, end=most)))[:most]
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
            _regular_size(local_path(url))
            with local_path(url).open("rb") as file:
                _check_version(_local_version(os.fstat(file.fileno())), version, url)
                file.seek(start)
                return file.read(length)
        fs, path = filesystem(url, options)
        if not length:
            return b""
        try:
            if _is_s3(url):
                return fs.read_part(path, start, length, version)
            if version is not None:
                _check_once(url, version, options)
            data = _tried(url, lambda: fs.cat_file(path, start=start, end=start + length))
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
            _regular_size(local_path(url))
        with _open_parts(fs, path, url) as file:
            if is_local(url):
                _check_version(_local_version(os.fstat(file.fileno())), version, url)
            elif _is_s3(url):  # it reads none but the object that it saw here
                _check_version(str(file.details.get("ETag")), version, url)
            elif version is not None:
                _check_once(url, version, options)
            yield file


def _open_parts(fs: fsspec.AbstractFileSystem, path: str, url: str) -> Any:
    if _is_s3(url):
        return fs.open_parts(path)
    return _tried(url, lambda: fs.open(path, "rb", block_size=_BLOCK, cache_type="readahead"))


def version(url: str, options: Options | None = None) -> str:
    """What changes when the content of `url` does: its tag, or its size and time of change.

    Raises:
        As `read_bytes`.
    """
    with sorted_faults("look at", url):
        if is_local(url):
            return _local_version(local_path(url).stat())
        fs, path = filesystem(url, options)
        if _is_s3(url):
            return str(fs.info(path).get("ETag"))
        if _is_web(url):  # whose own key knows nothing but the URL
            info = _tried(url, lambda: fs.info(path))
            return " ".join(str(info.get(name)) for name in ("size", "ETag", "Last-Modified"))
        return str(_tried(url, lambda: fs.ukey(path)))


def _local_version(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns}"


def _is_s3(url: str) -> bool:
    return url.startswith(("s3://", "s3a://"))


def _store() -> type[Store]:
    from seraser_core.s3 import Store  # takes most of a second, which local runs need not wait

    return Store


def _is_web(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _tried(url: str, attempt: Callable[[], T]) -> T:
    """What `attempt` returns; it is repeated where the client itself repeats nothing.

    `Store` makes its requests again one by one, as the clients of Google and Azure do.
    """
    return again(attempt) if _is_web(url) else attempt()


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
        return _regular_size(local_path(url))


def read_json(url: str, options: Options | None = None) -> Any:
    """The JSON document at `url`."""
    return json.loads(read_bytes(url, options))


def exists(url: str, options: Options | None = None) -> bool:
    """Whether there is a file at `url`."""
    with sorted_faults("look for", url):
        fs, path = filesystem(url, options)
        if _is_web(url):  # without `strict`, what it cannot say is called missing
            return bool(_tried(url, lambda: fs.exists(path, strict=True)))
        return bool(fs.exists(path))


def list_files(folder: str, options: Options | None = None) -> list[str]:
    """Names of the files directly in `folder`, sorted; empty when it does not exist.

    What a killed `write_bytes` left behind is not listed.
    """
    with sorted_faults("list", folder):
        fs, path = filesystem(folder, options)
        try:
            found = fs.ls(path, detail=True)
        except FileNotFoundError:
            return []
    names = (PurePosixPath(f["name"]).name for f in found if f["type"] == "file")
    return sorted(name for name in names if not _is_unfinished(name))


def list_folders(folder: str, options: Options | None = None) -> list[str]:
    """Names of the folders directly in `folder`, sorted; empty when it does not exist."""
    with sorted_faults("list", folder):
        fs, path = filesystem(folder, options)
        try:
            found = fs.ls(path, detail=True)
        except FileNotFoundError:
            return []
    return sorted(PurePosixPath(f["name"]).name for f in found if f["type"] == "directory")


def find_files(folder: str, options: Options | None = None) -> dict[str, Found]:
    """Paths of all files below `folder`, relative to it; sorted.

    What a killed `write_bytes` left behind is not among them.

    Raises:
        As `read_bytes`; of a folder that does not exist, nothing is found.
    """
    with sorted_faults("list", folder):
        fs, root = filesystem(folder, options)
        found = fs.find(root, detail=True)
    prefix = root.rstrip("/") + "/"
    tagged = _is_s3(folder)  # where alone a tag can be a condition of reading
    return {
        name.removeprefix(prefix): Found(
            int(info.get("size") or 0), _strong(info.get("ETag")) if tagged else None
        )
        for name, info in found.items()
        if name.startswith(prefix) and not _is_unfinished(PurePosixPath(name).name)
    }


def _strong(tag: str | None) -> str | None:
    """A tag with which objects can be asked for: weak ones, ``W/"..."``, never match."""
    return tag if tag and not tag.startswith("W/") else None


def remove_unfinished(folder: str) -> int:
    """Remove what killed `write_bytes` left directly in a local folder over an hour ago.

    What is younger may be written right now.

    Returns:
        The number of files.
    """
    if not is_local(folder):  # a put that is not finished leaves nothing
        return 0
    count = 0
    for path in local_path(folder).glob(".*.tmp"):
        with suppress(OSError):  # whoever wrote it is done, or it is not ours to remove
            if path.stat().st_mtime < time.time() - _UNFINISHED_S:
                path.unlink()
                count += 1
    return count


def _is_unfinished(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")


def write_bytes(url: str, data: bytes, options: Options | None = None) -> None:
    """Write `data` to `url` whole or not at all.

    Local: a temporary file in the same folder, fsync, rename, fsync of the folder. Object
    storage: one put of the finished bytes.

    Raises:
        As `read_bytes`.
    """
    with sorted_faults("write", url):
        if is_local(url):
            _write_local(local_path(url), data)
            return
        fs, path = filesystem(url, options)
        fs.pipe_file(path, data)


def write_json(url: str, document: Any, options: Options | None = None) -> None:
    """Write `document` as JSON with sorted keys, whole or not at all."""
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_bytes(url, (text + "\n").encode(), options)


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
            if _is_s3(url):
                fs.fetch(path, part)
            else:
                _tried(url, lambda: fs.get_file(path, str(part)))
            part.replace(place)


def delete(url: str, options: Options | None = None) -> None:
    """Remove the file at `url`; nothing happens when it is not there."""
    with sorted_faults("remove", url):
        fs, path = filesystem(url, options)
        try:
            fs.rm_file(path)
        except FileNotFoundError:
            return


def polars_options(url: str, options: Options | None = None) -> dict[str, str] | None:
    """Options with which Polars reads `url`, from the same environment that fsspec uses."""
    if not _is_s3(url):
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


def _regular_size(path: Path) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe or device might never end
        raise FileNotFoundError(f"{path} is not a file")
    return status.st_size


def _read_local(path: Path, most: int | None) -> bytes:
    size = _regular_size(path)
    with path.open("rb") as file:
        # Python sets aside as many bytes as it is asked for, even where the file is small.
        return file.read() if most is None else file.read(min(most, size + 1))


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
