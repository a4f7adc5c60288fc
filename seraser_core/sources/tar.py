"""What is in a tar, listed once: where every member lies, and what the small ones say."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from typing import Any

import polars as pl

from seraser_core import storage
from seraser_core.errors import ConfigError, TransientError

_TEXTS = ("cls", "txt", "json")
_MOST_TEXT = 64 * 2**10
_COLUMNS = {"key": pl.String, "ending": pl.String, "offset": pl.Int64, "length": pl.Int64}
_INDEX_VERSION = 1
_BLOCK = 2**20


def index_tar(url: str, options: Mapping[str, Any], cache: str) -> pl.DataFrame:
    """The members of a plain tar: key, ending, offset, length (bytes), text; in their order.

    A member ``a/b.left.png`` has the key ``a/b`` and the ending ``left.png``. ``text`` is the
    content of the endings cls, txt and json. Folders, links, hidden members and those without an
    ending are left out. Nothing is ever written to disk by a member's name.

    Args:
        url: The tar.
        options: fsspec options.
        cache: Folder or URL where the index is kept, by the tar's version; empty for none.

    Raises:
        ConfigError: It is no plain tar, cannot be read, or ends early.
    """
    try:
        kept = _place(url, options, cache)
        if kept and (found := _read(kept)) is not None:
            return found
        with storage.open_file(url, dict(options)) as file:
            index = _list(file)
    except FileNotFoundError:
        raise ConfigError("dataset.path", url, "there is no such file") from None
    except tarfile.TarError as error:
        raise ConfigError(
            "dataset.path",
            url,
            f"is no plain, whole tar ({error}); fetch it again, or unpack it if it is compressed",
        ) from None
    except (OSError, TransientError, ValueError, ImportError) as error:
        raise ConfigError("dataset.path", url, f"cannot be read: {error}") from None
    if kept:
        data = io.BytesIO()
        index.write_parquet(data)
        storage.write_bytes(kept, data.getvalue())
    return index


def _place(url: str, options: Mapping[str, Any], cache: str) -> str:
    if not cache:
        return ""
    mark = f"{_INDEX_VERSION}\n{url}\n{storage.version(url, dict(options))}"
    return storage.join(cache, f"{hashlib.sha256(mark.encode()).hexdigest()}.parquet")


def _read(kept: str) -> pl.DataFrame | None:
    try:
        found = pl.read_parquet(io.BytesIO(storage.read_bytes(kept)))
        return found if found.schema == {**_COLUMNS, "text": pl.String} else None
    except (FileNotFoundError, pl.exceptions.PolarsError):  # not there, or damaged
        return None


def _list(file: Any) -> pl.DataFrame:
    columns: dict[str, list[Any]] = {name: [] for name in (*_COLUMNS, "text")}
    with tarfile.open(fileobj=file, mode="r:") as tar:
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # it would keep all of them
            name = _split(member.name)
            if name is None or not member.isreg() or member.issparse():
                continue
            text = None
            if name[1] in _TEXTS and member.size <= _MOST_TEXT:
                file.seek(member.offset_data)
                text = file.read(member.size).decode("utf-8-sig", "replace").strip()
            for column, value in zip(
                columns, (*name, member.offset_data, member.size, text), strict=True
            ):
                columns[column].append(value)
        end = tar.offset
    _check_end(file, end)
    return pl.DataFrame(columns, schema={**_COLUMNS, "text": pl.String})


def _split(name: str) -> tuple[str, str] | None:
    """Key and ending of a member's name; None when it has no ending or is hidden."""
    folder, slash, base = name.removeprefix("./").rpartition("/")
    stem, dot, ending = base.partition(".")
    hidden = any(part.startswith(".") and part.strip(".") for part in folder.split("/"))
    if not stem or not dot or hidden:
        return None
    return folder + slash + stem, ending.lower()


def _check_end(file: Any, end: int) -> None:
    """See that a whole tar ends here: with zeros, where a header would be, and nothing else.

    Raises:
        tarfile.ReadError: It was cut, a header is damaged, or another tar follows.
    """
    file.seek(end)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError(f"it ends early, at byte {end + len(block)}")
    if block.strip(b"\0"):
        raise tarfile.ReadError(f"the header at byte {end} is damaged")
    while block := file.read(_BLOCK):
        if block.strip(b"\0"):
            raise tarfile.ReadError(f"something follows its end at byte {end}; split it there")
