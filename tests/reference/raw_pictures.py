"""TIFF and PNG files written byte by byte, for what Pillow does not write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

ASCII, SHORT, LONG = 2, 3, 4
_CODES = {ASCII: "B", SHORT: "H", LONG: "I"}
Tags = Mapping[int, tuple[int, Sequence[int]]]


def tiff(width: int, height: int, strips: Sequence[bytes], tags: Tags, order: str = "<") -> bytes:
    """An uncompressed TIFF of one page.

    Args:
        width, height: In pixels.
        strips: One for all rows, or one for each band where tag 284 is 2.
        tags: Tag -> type and values, beside those of the size and the strips.
        order: ``<`` or ``>``.
    """
    fields: dict[int, tuple[int, Sequence[int]]] = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        259: (SHORT, [1]),
        273: (LONG, [0] * len(strips)),
        278: (LONG, [height]),
        279: (LONG, [len(strip) for strip in strips]),
        **tags,
    }
    first = 8 + 2 + 12 * len(fields) + 4
    sizes = [len(values) * struct.calcsize(_CODES[kind]) for kind, values in fields.values()]
    place = first + sum(size for size in sizes if size > 4)
    ends = np.cumsum([0, *map(len, strips)]).tolist()
    fields[273] = (LONG, [place + end for end in ends[:-1]])
    entries, beside = b"", b""
    for tag, (kind, values) in sorted(fields.items()):
        content = struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)
        if len(content) > 4:
            beside, content = beside + content, struct.pack(f"{order}I", first + len(beside))
        entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + content.ljust(4, b"\0")
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(f"{order}HIH", 42, 8, len(fields))
    return head + entries + bytes(4) + beside + b"".join(strips)


def bands(
    values: np.ndarray, photometric: int, order: str = "<", planar: bool = False, **more: int | str
) -> bytes:
    """A TIFF of (H, W) or (H, W, bands) values of any type, in bytes as they are.

    Args:
        values: Its pixels.
        photometric: What 0 and the bands mean.
        order: ``<`` or ``>``.
        planar: One strip per band.
        more: ``t338=1`` sets tag 338, to a number or a text.
    """
    height, width, count = (*values.shape, 1)[:3]
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    values = values.astype(values.dtype.newbyteorder(order))
    tags = {
        258: (SHORT, [8 * values.dtype.itemsize] * count),
        262: (SHORT, [photometric]),
        277: (SHORT, [count]),
        284: (SHORT, [2 if planar else 1]),
        339: (SHORT, [kind] * count),
        **{
            int(name[1:]): (ASCII, f"{value}\0".encode())
            if isinstance(value, str)
            else (SHORT, [value])
            for name, value in more.items()
        },
    }
    parts = [values[..., i].tobytes() for i in range(count)] if planar else [values.tobytes()]
    return tiff(width, height, parts, tags, order)


def png16(values: np.ndarray, colour: int) -> bytes:
    """A PNG of (H, W, bands) 16-bit values; colour 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA.

    Every row is filtered another way.
    """
    height, width = values.shape[:2]
    step = values[0, 0].size * 2
    rows = [np.frombuffer(row.astype(">u2").tobytes(), np.uint8).astype(int) for row in values]
    body = b""
    for i, row in enumerate(rows):
        above = rows[i - 1] if i else np.zeros_like(row)
        before = np.concatenate([np.zeros(step, int), row[:-step]])
        filtered = [row, row - before, row - above, row - (before + above) // 2][i % 4]
        body += bytes([i % 4]) + (filtered % 256).astype(np.uint8).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
