"""Index of a tar, made once: the place of every member, and the content of small ones."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import polars as pl

from seraser_core import storage
from seraser_core.errors import ChangedError, ConfigError, TransientError
from seraser_core.sources.shown import composed, is_hidden

TEXT_ENDINGS = ("cls", "txt", "json")
MOST_TEXT = 64 * 2**10
"""Largest member with a text that is kept, in bytes."""
_COLUMNS = {"key": pl.String, "ending": pl.String, "offset": pl.Int64, "length": pl.Int64}
_SCHEMA = pl.Schema({**_COLUMNS, "text": pl.String})
_INDEX_VERSION = 4
_BLOCK = 2**20
_LINKS = (tarfile.SYMTYPE, tarfile.LNKTYPE)
_ABOUT_NEXT = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
"""Types of members that describe the next one, and are read at once."""
_MOST_ABOUT_NEXT = 2**20
_MOST_ZEROS = tarfile.RECORDSIZE + 2 * tarfile.BLOCKSIZE
"""Two blocks of zeros end a tar, and more of them fill the last record."""


@dataclass(frozen=True)
class TarIndex:
    """Index of a tar.

    Attributes:
        members: key, ending, offset, length (bytes), text; in their order. A member
            ``a/b.left.png`` has the key ``a/b`` and the ending ``left.png``; ``text`` is what those
            of TEXT_ENDINGS hold, up to MOST_TEXT and where it is UTF-8. Links and sparse
            members have no offset.
            Folders, hidden members and those without an ending are left out.
        version: Version of the tar, see `storage.version`.
    """

    members: pl.DataFrame
    version: str


def index_tar(url: str, options: Mapping[str, Any], cache: str) -> TarIndex:
    """List a plain tar; nothing is ever written to disk by a member's name.

    Args:
        url: The tar.
        options: fsspec options.
        cache: Folder or URL where the index is kept, by the tar's version; empty for none.

    Raises:
        ConfigError: It is no plain tar, cannot be read, or ends early.
    """
    with _blamed_on(url):
        version = storage.version(url, options)
    mark = hashlib.sha256(f"{_INDEX_VERSION}\n{url}\n{version}".encode()).hexdigest()
    kept = storage.join(cache, f"{mark}.parquet") if cache else ""
    if kept:
        with _blamed_on(cache, "output"):
            index = _read(kept)
        if index is not None:
            return TarIndex(index, version)
    with _blamed_on(url), storage.open_file(url, options, version) as file:
        members = _list(file)
    if kept:
        data = io.BytesIO()
        members.write_parquet(data)
        with _blamed_on(cache, "output"):
            storage.write_bytes(kept, data.getvalue())
    return TarIndex(members, version)


@contextmanager
def _blamed_on(url: str, field: str = "dataset.path") -> Iterator[None]:
    """Turn faults of reading a tar, or of keeping its index, into ConfigErrors."""
    try:
        yield
    except FileNotFoundError:
        raise ConfigError(field, url, "there is no such file") from None
    except tarfile.TarError as error:
        raise ConfigError(
            field,
            url,
            f"is no plain, whole tar ({error}); fetch it again, or unpack it if it is compressed",
        ) from None
    except RecursionError:
        raise ConfigError(
            field, url, "has more names of names than a tar needs; write it again"
        ) from None
    except (OSError, TransientError, ChangedError, ValueError, ImportError) as error:
        raise ConfigError(field, url, f"cannot be used: {error}") from None


def _read(kept: str) -> pl.DataFrame | None:
    try:
        members = pl.read_parquet(io.BytesIO(storage.read_bytes(kept)))
        return members if members.schema == _SCHEMA else None
    except (FileNotFoundError, pl.exceptions.PolarsError):  # not there, or damaged
        return None


def _list(file: IO[bytes]) -> pl.DataFrame:
    columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA}
    with tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as tar:
        end = -1
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # it would keep all of them
            # A header of its own can give a member another size.
            if member.size < 0 or tar.offset <= end:
                raise tarfile.ReadError(f"the size of {member.name!a} is {member.size}")
            end = tar.offset
            name = _split(member.name)
            if name is None or not (member.isreg() or member.type in _LINKS):
                continue
            whole = member.isreg() and not member.issparse()
            text = None
            if whole and name[1] in TEXT_ENDINGS and member.size <= MOST_TEXT:
                file.seek(member.offset_data)
                text = _decoded(file.read(member.size))
            offset = member.offset_data if whole else None
            for column, value in zip(columns, (*name, offset, member.size, text), strict=True):
                columns[column].append(value)
        end = tar.offset
    _check_end(file, end)
    return pl.DataFrame(columns, schema=_SCHEMA)


class _Header(tarfile.TarInfo):
    """A member with a size that is checked before memory is taken for it."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        """See `tarfile.TarInfo.frombuf`."""
        member = super().frombuf(buf, encoding, errors)
        most = _MOST_ABOUT_NEXT if member.type in _ABOUT_NEXT else 2**62
        if not 0 <= member.size <= most:
            raise tarfile.ReadError(f"the size of {member.name!a} is {member.size}")
        return member


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return None


def _split(name: str) -> tuple[str, str] | None:
    """Key and ending of a member's name; None when it has no ending or is hidden."""
    # Names in other encodings are used too, once they are valid Unicode.
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    parts = [part for part in composed(name).split("/") if part not in ("", ".")]
    base = parts.pop() if parts else ""
    stem, dot, ending = base.partition(".")
    if not stem or not dot or any(is_hidden(p) and p.strip(".") for p in [*parts, base]):
        return None
    root = "/" if name.startswith("/") else ""
    return root + "/".join([*parts, stem]), ending.lower()


def _check_end(file: IO[bytes], end: int) -> None:
    """Check that the tar ends here, with zeros in place of a header.

    Raises:
        tarfile.ReadError: It was cut, a header is damaged, another tar follows, or there are more
            zeros than writers leave: room that was set aside for what never came.
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
    zeros = file.tell() - end
    if zeros > _MOST_ZEROS:
        raise tarfile.ReadError(
            f"{zeros} zeros follow its last member at byte {end}, as when a download breaks off; "
            "if it is whole, write it again with tar's usual blocks"
        )
