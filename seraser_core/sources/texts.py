"""Decoding text files that people, spreadsheets and editors wrote."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zipfile
import zlib

_SHOWN = 40
_LOOKED_AT = 4096
_MOST_BYTES = 4 * 2**30
"""Largest content of a compressed file, in bytes."""
_GZIP = b"\x1f\x8b"
_MARKS = (
    # UTF-32 first: its little-endian mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FOREIGN = (
    (b"PAR1", "a Parquet file", "give it the ending .parquet"),
    (b"ARROW1", "a Feather file", "save it as Parquet or CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save it as CSV (UTF-8)"),
    (b"\x89HDF", "an HDF5 file", "save it as CSV or Parquet"),
    (b"MATLAB 5.0", "a MATLAB file", "write the table as CSV with writetable"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV"),
    (b"%PDF", "a PDF", "save the table as CSV"),
    (b"\x80\x04", "a pickle, which could run code", "write it with to_csv or to_parquet"),
    (b"\x80\x05", "a pickle, which could run code", "write it with to_csv or to_parquet"),
    (b"BZh", "compressed with bzip2", "unpack it"),
    (b"\xfd7zXZ", "compressed with xz", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (
        b"version https://git-lfs",
        "a pointer of Git LFS, not the file",
        "fetch it with git lfs pull",
    ),
)
_PAGE = re.compile(rb"\s*<(!doctype html|html|head|body)\b", re.IGNORECASE)


def unpacked(data: bytes) -> bytes:
    """Unpack a gzip file; return other files as they are.

    Raises:
        ValueError: It is damaged, or holds more than 4 GiB.
    """
    if not data.startswith(_GZIP):
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise ValueError("it is no whole gzip file; write or fetch it again") from None
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it unpacks to more than {_MOST_BYTES} bytes; unpack it and cut it up")
    return content


def read_text(data: bytes, said: list[str]) -> str:
    """Decode `data`: UTF-8, UTF-16 or UTF-32, else the encoding of Windows or old Macs.

    Args:
        data: A file.
        said: Gets a line about what was taken for granted.

    Raises:
        ValueError: It is a file of another kind, or no text.
    """
    check_text(data)
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _decoded(data, name)
    wide = _wide_without_mark(data[:_LOOKED_AT])
    if wide:
        said.append(f"it has no byte order mark and is read as {wide.upper()}")
        return _decoded(data, wide)
    if b"\0" in data[:_LOOKED_AT]:
        raise ValueError("it holds binary data, no text")
    data = data.removesuffix(b"\x1a")  # with which DOS ends a text
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _one_byte(data, error.start, said)


def text_lines(text: str) -> list[str]:
    """The lines of a text, which end with ``\\n`` or ``\\r\\n``, or with ``\\r`` as on old Macs.

    `str.splitlines` also cuts at form feeds and other signs that a name may hold.
    """
    lines = with_line_feeds(text).split("\n")
    return lines if lines[-1] else lines[:-1]


def with_line_feeds(text: str) -> str:
    """Return the text with lines that end with ``\\n`` alone."""
    return text.replace("\r\n", "\n") if "\n" in text else text.replace("\r", "\n")


def check_text(data: bytes) -> None:
    """Refuse files that are recognised as something other than text.

    Raises:
        ValueError: Names what it is and what to do.
    """
    for start, kind, remedy in _FOREIGN:
        if data.startswith(start):
            raise ValueError(f"it is {kind}; {remedy}")
    if data.startswith(b"PK\x03\x04"):
        raise ValueError(_zipped(data))
    if _PAGE.match(data):
        raise ValueError("it is a web page, perhaps one to sign in; fetch the file itself")


def _zipped(data: bytes) -> str:
    try:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return "it is a damaged zip archive; fetch it again"
    if any(name.startswith("xl/") for name in names):
        return "it is an Excel workbook; save the sheet as CSV (UTF-8)"
    if "mimetype" in names and "content.xml" in names:
        return "it is an OpenDocument spreadsheet; save the sheet as CSV (UTF-8)"
    if any(name.startswith("Index/") for name in names):
        return "it is a Numbers spreadsheet; export the table as CSV (UTF-8)"
    return f"it is a zip archive of {len(names)} files; unpack it"


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode(name).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise ValueError(f"it is no whole {name.upper()} text; save it as UTF-8") from None


def _wide_without_mark(start: bytes) -> str | None:
    """Return UTF-16's name if every other byte is zero, as in mostly Latin text."""
    half = len(start) // 2
    if half < 2:
        return None
    first, second = start[: 2 * half : 2].count(0), start[1 : 2 * half : 2].count(0)
    if second > half * 0.5 and not first:
        return "utf-16-le"
    return "utf-16-be" if first > half * 0.5 and not second else None


def _one_byte(data: bytes, first: int, said: list[str]) -> str:
    """Decode a text with one byte per character."""
    old_mac = b"\n" not in data and b"\r" in data
    name, called = ("mac_roman", "Mac Roman") if old_mac else ("cp1252", "Windows-1252")
    try:
        text = data.decode(name)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"line {line} is neither UTF-8 nor Windows-1252; save the file as UTF-8"
        ) from None
    # One byte per character, so offsets agree.
    around = re.split(r"[\r\n]", text[max(0, first - _SHOWN) : first])[-1]
    seen = around + re.split(r"[\r\n]", text[first : first + _SHOWN])[0]
    said.append(
        f"it is no UTF-8 and is read as {called}, e.g. {seen!r}; save it as UTF-8 where that "
        "is wrong"
    )
    return text
