"""Lists of images in MATLAB's file format, version 5."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from seraser_core.sources.benchmarks.readers import Reader
from seraser_core.sources.benchmarks.root import Root

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_CELL, _TEXT = 1, 4
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
_TEXTS = {1: "latin-1", 2: "utf-8", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}
_MOST_BYTES = 64 * 2**20
_BROKEN = (struct.error, zlib.error, ValueError, KeyError, IndexError, StopIteration)


@dataclass(frozen=True)
class MatList(Reader):
    """A file with the cell array `file_list`, paths of images, and the numbers `labels`.

    Gives the columns `file` and `label`.

    Attributes:
        name: Its path in the root; ``{split}`` stands for the split.
    """

    name: str

    def rows(self, root: Root, split: str) -> pl.DataFrame:
        """See `Reader.rows`."""
        name = self.name.replace("{split}", split)
        data = root.read(name)
        try:
            variables = read_matlab(data)
            files, labels = variables["file_list"], variables["labels"]
            return pl.DataFrame(
                {"file": files, "label": [str(int(label)) for label in labels]},
                schema={"file": pl.String, "label": pl.String},
            )
        except (*_BROKEN, TypeError, pl.exceptions.PolarsError) as error:
            raise root.wrong(f"{name!r} is no list of files and labels: {error!r}") from None


def read_matlab(data: bytes) -> dict[str, Any]:
    """The variables of a little-endian file: texts, flat arrays of numbers, lists of those.

    Raises:
        ValueError, struct.error, zlib.error, KeyError, IndexError: It is something else.
    """
    if data[126:128] != b"IM":
        raise ValueError("not a MATLAB file of version 5")
    return dict(_variable(part) for kind, part in _elements(data[_HEADER:]) if kind == _MATRIX)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and content of every element, with compressed ones unpacked."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind >> 16:  # a small element: both in the first four bytes, the content in the others
            kind, size, start, at = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        else:
            start, at = at + 8, at + 8 + size
        content = data[start : start + size]
        if len(content) < size:
            raise ValueError("the file is cut short")
        if kind == _COMPRESSED:
            yield from _elements(zlib.decompressobj().decompress(content, _MOST_BYTES))
        else:
            at += -at % 8
            yield kind, content


def _variable(data: bytes) -> tuple[str, Any]:
    (_, flags), (_, _), (_, name), *parts = _elements(data)
    kind = flags[0]
    if kind == _CELL:
        return name.decode(), [_variable(part)[1] for _, part in parts]
    stored, content = parts[0] if parts else (2, b"")
    if kind == _TEXT:
        return name.decode(), content.decode(_TEXTS[stored])
    return name.decode(), np.frombuffer(content, "<" + _NUMBERS[stored])
