"""PBM, PGM and PPM: plain and raw, of 1, 8 and 16 bits and of steps between."""

from __future__ import annotations

import numpy as np
import pytest

from seraser_core.config.options import LimitOptions
from seraser_core.errors import ItemError
from seraser_core.sources.decode import decode_image, decode_mask

LIMITS = LimitOptions(max_pixels=1000)


def grey(data: bytes) -> list[list[int]]:
    pixels = np.asarray(decode_image(data, LIMITS))
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0].tolist()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"P1\n3 2\n0 1 0\n1 1 0\n", [[255, 0, 255], [0, 0, 255]]),
        (b"P1\n3 2\n010110", [[255, 0, 255], [0, 0, 255]]),
        (b"P4\n3 2\n\x40\xc0", [[255, 0, 255], [0, 0, 255]]),
        (b"P2\n2 1\n255\n7 200\n", [[7, 200]]),
        (b"P2 2 1 15 0 15", [[0, 255]]),
        (b"P5\n# made by hand\n2 1\n255\n\x07\xc8", [[7, 200]]),
        (b"P5 3 1 100 \x00\x32\x64", [[0, 128, 255]]),
        (b"P5 2 1 1 \x00\x01", [[0, 255]]),
        # More than 8 bits are scaled as those of every other format: to what the values fit.
        (b"P5 3 1 4095 \x00\x00\x08\x00\x0f\xff", [[0, 128, 255]]),
        (b"P5 2 1 65535 \x00\x00\x00\xff", [[0, 255]]),
        (b"P5 2 1 65535 \x80\x80\xff\xff", [[128, 255]]),
        (b"P2 2 1 65535 32896 200", [[128, 1]]),
    ],
)
def test_grey_pictures(data, expected):
    assert grey(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"P3\n2 1\n255\n10 20 30 40 50 60\n",
        b"P6\n2 1\n255\n\x0a\x14\x1e\x28\x32\x3c",
        b"P6 2 1 65535 " + (np.array([10, 20, 30, 40, 50, 60]) * 257).astype(">u2").tobytes(),
    ],
    ids=["plain", "8", "16"],
)
def test_colour_pictures(data):
    pixels = np.asarray(decode_image(data, LIMITS))
    assert pixels.tolist() == [[[10, 20, 30], [40, 50, 60]]]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"P5 2 2 255 \x01\x02\x03", "truncated"),
        (b"P5 2 2 4095 \x00\x01\x00\x02\x00\x03", "truncated"),
        (b"P6 2 1 65535 \x00", "truncated"),
        (b"P2 2 2 255 1 2 3", "truncated"),
        (b"P5 2 ", "truncated"),
        (b"P5 2 2 0 abcd", "undecodable"),
        (b"P5 0 2 255 ", "undecodable"),
        (b"P2 1 1 255 256", "undecodable"),
        (b"P5 40 40 255 " + bytes(1600), "too_large"),
        (b"P5 99999 99999 255 ", "too_large"),
        (b"P7\nWIDTH 1\n", "unsupported_format"),
        (b"Pf\n1 1\n-1.0\n\x00\x00\x00\x00", "unsupported_format"),
        (b"P5", "undecodable"),
        (b"Plain text that is no picture", "undecodable"),
    ],
)
def test_damaged_and_foreign_ones(data, code):
    with pytest.raises(ItemError) as caught:
        decode_image(data, LIMITS)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "data",
    [
        b"P4\n3 1\n\x40",
        b"P5 3 1 255 \xff\x00\xff",
        b"P5 3 1 1 \x01\x00\x01",
        b"P5 3 1 4095 \x00\x01\x00\x00\x00\x02",
        b"P2 3 1 65535 1 0 2",
    ],
)
def test_masks(data):
    assert decode_mask(data, (3, 1), LIMITS).tolist() == [[True, False, True]]
