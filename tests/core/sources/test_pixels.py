"""Pictures as cameras, scanners, microscopes and exporters write them are recognised.

A scene of known brightness is written in each way and must come back, within rounding.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from raw_pictures import SHORT, bands, png16, tiff

from seraser_core.config.options import LimitOptions
from seraser_core.errors import ItemError
from seraser_core.sources.decode import decode_image, decode_mask, image_size
from seraser_core.sources.pixels import to_8_bit

LIMITS = LimitOptions()
RNG = np.random.default_rng(8)
GREY = RNG.random((24, 32))
GREY[0, :2] = 0, 1
COLOUR = RNG.random((24, 32, 3))
COLOUR[0, :2] = [[0], [1]]
ALPHA = np.kron([[0, 255], [255, 128]], np.ones((12, 16))).astype(np.uint8)


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(decode_image(data, LIMITS)).astype(int)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def levels(scene: np.ndarray, most: float, kind: type) -> np.ndarray:
    """The scene as integers up to `most`, or as floats."""
    scaled = scene * most
    return (np.round(scaled) if np.issubdtype(kind, np.integer) else scaled).astype(kind)


def assert_seen(data: bytes, scene: np.ndarray, tolerance: float = 1.0) -> None:
    found = decoded(data)
    assert found.shape == (*scene.shape[:2], 3)
    expected = 255 * (scene[..., None] if scene.ndim == 2 else scene)
    assert np.abs(found - expected).max() <= tolerance


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("order", "<>")
def test_grey_of_fewer_bits_in_16(bits, order):
    values = levels(GREY, 2**bits - 1, np.uint16)
    assert_seen(bands(values, 1, order), GREY)
    assert_seen(png16(values, 0), GREY)
    assert_seen(saved(Image.fromarray(values), "TIFF", compression="tiff_lzw"), GREY)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_colours_of_fewer_bits_in_16(bits):
    values = levels(COLOUR, 2**bits - 1, np.uint16)
    assert_seen(png16(values, 2), COLOUR)
    assert_seen(bands(values, 2), COLOUR)
    assert_seen(bands(values, 2, ">"), COLOUR)
    opaque = np.concatenate([values, np.full_like(values[..., :1], 65535)], -1)
    assert_seen(png16(opaque, 6), COLOUR)
    assert_seen(bands(opaque, 2, t338=2), COLOUR)
    assert_seen(bands(opaque, 2, t338=0), COLOUR)
    grey = np.stack([levels(GREY, 2**bits - 1, np.uint16), opaque[..., 3]], -1)
    assert_seen(png16(grey, 4), GREY)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("order", "<>")
def test_bands_that_lie_apart(kind, order):
    values = levels(COLOUR, np.iinfo(kind).max, kind)
    assert_seen(bands(values, 2, order, planar=True), COLOUR)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.uint32, np.uint64])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("planar", [False, True])
def test_numbers_of_any_type_that_are_not_compressed(kind, order, planar):
    most = 1 if np.issubdtype(kind, np.floating) else 4095
    values = levels(COLOUR, most, kind)
    assert_seen(bands(values, 2, order, planar), COLOUR)
    more = np.concatenate([values, values[..., :2]], -1)
    assert_seen(bands(more, 2, order, planar), COLOUR)
    grey = np.stack([levels(GREY, most, kind), more[..., 0]], -1)
    assert_seen(bands(grey, 1, order, planar), GREY)
    assert_seen(bands(most - levels(GREY, most, kind), 0, order), GREY)
    assert_seen(bands(np.rot90(values), 2, order, planar, t274=6), COLOUR)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_colours_of_fewer_bits_that_lie_apart(bits):
    assert_seen(bands(levels(COLOUR, 2**bits - 1, np.uint16), 2, planar=True), COLOUR)


def test_numbers_as_a_mask():
    values = np.where(GREY > 0.5, GREY, 0)
    found = decode_mask(bands(values, 1), (32, 24), LIMITS)
    assert (found == (GREY > 0.5)).all()
    turned = decode_mask(bands(np.rot90(values), 1, t274=6), (32, 24), LIMITS)
    assert (turned == found).all()


def test_numbers_that_are_cut_short():
    with pytest.raises(ItemError) as caught:
        decode_image(bands(GREY, 1)[:-9], LIMITS)
    assert (caught.value.stage, caught.value.code) == ("decode", "truncated")


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["numbers", "TIFF", "PNG", "JPEG", "WEBP"])
def test_the_size_of_a_header_is_that_of_the_upright_picture(kind, turn):
    exif = Image.Exif()
    exif[274] = turn
    data = (
        bands(GREY, 1, t274=turn)
        if kind == "numbers"
        else saved(Image.new("RGB", (32, 24)), kind, exif=exif)
    )
    assert image_size(data, LIMITS) == decode_image(data, LIMITS).size


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [
        (0, 1, np.float32),
        (0, 0.03, np.float32),
        (0, 255, np.float32),
        (0, 65535, np.float32),
        (-1, 1, np.float32),
        (-2.5, 3, np.float32),
        (300, 1e9, np.float32),
        (0, 255, np.int32),
        (0, 4095, np.int32),
        (0, 65535, np.int32),
        (-1024, 3071, np.int32),
        (-1024, 3071, np.int16),
        (-128, 127, np.int8),
        (0, 2**31 - 1, np.uint32),
        (0, 2**32 - 1, np.uint32),
        (0, 10, np.uint16),
    ],
)
def test_grey_of_any_type_and_range(low, high, kind):
    tolerance = max(1.0, 255 / (high - low) if np.issubdtype(kind, np.integer) else 1.0)
    assert_seen(bands(levels(GREY * (high - low) + low, 1, kind), 1), GREY, tolerance)


def test_a_range_is_not_stretched_where_it_need_not_be():
    dim = GREY * 0.5
    assert_seen(bands(dim.astype(np.float32), 1), dim)
    assert_seen(bands(levels(dim, 255, np.int32), 1), dim)


@pytest.mark.parametrize("outlier", [np.nan, np.inf, -np.inf, 1e9, -1e9, 300])
@pytest.mark.parametrize("most", [1, 255, 65535])
def test_a_few_outliers_do_not_hide_the_rest(outlier, most):
    scene = np.tile(GREY, (4, 4))
    values = (scene * most).astype(np.float32)
    values[5, 5] = values[70, 80] = outlier
    found = decoded(bands(values, 1))[..., 0]
    seen = np.isfinite(values) & (values != np.float32(outlier))
    assert np.abs(found - 255 * scene)[seen].max() <= 1
    wanted = np.clip(np.nan_to_num(outlier / most, nan=0, posinf=1, neginf=0), 0, 1) * 255
    assert abs(found[5, 5] - wanted) <= 1


def test_ringing_of_a_resampled_picture_is_clipped():
    values = (GREY * 1.04 - 0.02).astype(np.float32)
    found = decoded(bands(values, 1))[..., 0]
    assert np.abs(found - 255 * np.clip(values, 0, 1)).max() <= 6


def test_hot_pixels_of_a_camera_do_not_darken_the_rest():
    values = levels(np.tile(GREY, (4, 4)), 4095, np.uint16)
    values[3, 3] = values[9, 9] = 65535
    found = decoded(bands(values, 1))[..., 0]
    assert np.abs(found - np.minimum(255, values / 4095 * 255)).max() <= 1


GAP = np.zeros(GREY.shape, bool)
GAP[3:9, 4:20] = True
"""A sixth of the scene was not measured."""


@pytest.mark.parametrize(
    ("kind", "most", "filler", "declared"),
    [
        (np.uint16, 65535, 0, "0"),
        (np.uint16, 4095, 65535, "65535"),
        (np.uint16, 4095, 65535, " 65535.0 "),
        (np.int16, 255, -32768, "-32768"),
        (np.int16, 255, -9999, None),
        (np.int32, 65535, -2147483648, "-2147483648"),
        (np.float32, 1, -9999, "-9999"),
        (np.float32, 1, -9999, None),
        (np.float32, 1, 1e20, "1e20"),
        (np.float32, 255, -3.4028235e38, None),
        (np.float32, 255, -3.4028235e38, "-3.40282346638529e+038"),
        (np.float32, 255, 3.4028235e38, "3.4e38"),
        (np.float32, 1, np.nan, "nan"),
        (np.float64, 1, -1.7976931348623157e308, "-1.7976931348623157e+308"),
    ],
)
@pytest.mark.parametrize("order", "<>")
def test_values_that_stand_for_no_measurement(kind, most, filler, declared, order):
    values = levels(GREY, most, kind)
    values[GAP] = filler
    found = decoded(bands(values, 1, order, **({"t42113": declared} if declared else {})))
    assert np.abs(found - 255 * GREY[..., None])[~GAP].max() <= 1
    assert (found[GAP] == (0 if filler < 1e38 or np.isnan(filler) else 255)).all()


@pytest.mark.parametrize("most", [255, 4095, 65400])
def test_no_measurement_in_a_picture_of_colours(most):
    values = levels(COLOUR, most, np.uint16)
    values[GAP] = 65535
    found = decoded(bands(values, 2, t42113="65535"))
    assert np.abs(found - 255 * COLOUR)[~GAP].max() <= 1
    assert (found[GAP] == 0).all()


def test_a_range_that_ends_at_a_filler_is_a_range():
    values = (GREY * 65535 - 32768).astype(np.int16)
    assert_seen(bands(values, 1), GREY)


def test_a_declared_value_that_is_no_number_is_passed_over():
    assert_seen(bands(levels(GREY, 255, np.uint16), 1, t42113="none"), GREY)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint32, np.float32, np.float64])
def test_a_mask_is_not_foreground_where_nothing_was_measured(kind):
    values = np.where(GREY > 0.5, 1, 0).astype(kind)
    values[GAP] = 99
    mask = decode_mask(bands(values, 1, t42113="99"), values.shape[::-1], LIMITS)
    assert (np.asarray(mask) == (values == 1)).all()


def test_a_picture_without_a_number():
    values = np.full((4, 4), np.nan, np.float32)
    with pytest.raises(ItemError, match="finite number") as caught:
        decode_image(bands(values, 1), LIMITS)
    assert caught.value.code == "no_pixels"


@pytest.mark.parametrize("value", [0, 7, 40000])
def test_a_picture_of_one_value_stays_one(value):
    assert np.ptp(decoded(bands(np.full((4, 4), value, np.uint16), 1))) == 0


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("white", [0, 1])
def test_white_may_be_zero(bits, white):
    most = 2**bits - 1
    values = np.round(GREY * most).astype(np.uint16)
    stored = most - values if white == 0 else values
    if bits == 16:
        data = bands(stored, white)
    else:
        places = np.arange(8 // bits)[::-1] * bits
        packed = (stored.reshape(24, -1, 8 // bits) << places).sum(-1).astype(np.uint8)
        tags = {258: (SHORT, [bits]), 262: (SHORT, [white]), 277: (SHORT, [1])}
        data = tiff(32, 24, [packed.tobytes()], tags)
    assert_seen(data, values / most)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_palettes(bits, kind):
    colours = RNG.integers(0, 256, (2**bits, 3), dtype=np.uint8)
    indices = RNG.integers(0, 2**bits, (24, 32), dtype=np.uint8)
    image = Image.fromarray(indices, "P")
    image.putpalette(colours.tobytes())
    options = {"bits": bits} if kind == "PNG" else {}
    assert (decoded(saved(image, kind, **options)) == colours[indices]).all()


def test_cyan_magenta_yellow_and_black():
    ink = RNG.integers(0, 256, (24, 32, 4), dtype=np.uint8)
    light = 255 - ink.astype(float)
    expected = light[..., :3] * light[..., 3:] / 255
    image = Image.frombytes("CMYK", (32, 24), ink.tobytes())
    assert np.abs(decoded(saved(image, "TIFF")) - expected).max() <= 1.5
    flat = Image.new("CMYK", (32, 24), (10, 120, 200, 60))  # as JPEG, which is stored inverted
    seen = decoded(saved(flat, "JPEG", quality=100))
    expected = np.array([245, 135, 55]) * 195 / 255
    assert np.abs(seen - expected).max() <= 3


def test_lightness_and_two_colours():
    """L* 100, 53.6 and 0 without colour, and the red of sRGB: 54.3, 80.8, 69.9 (D50)."""
    values = np.array([[[255, 0, 0], [137, 0, 0], [0, 0, 0], [138, 81, 70]]], np.uint8)
    expected = [[255, 255, 255], [128, 128, 128], [0, 0, 0], [255, 0, 0]]
    assert np.abs(decoded(bands(values, 8))[0] - expected).max() <= 6


def test_luma_and_chroma():
    values = np.array([[[255, 128, 128], [76, 85, 255], [29, 255, 107]]], np.uint8)
    expected = [[255, 255, 255], [255, 0, 0], [0, 0, 255]]
    assert np.abs(decoded(bands(values, 6, t530=1))[0] - expected).max() <= 3


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpegs(subsampling, progressive):
    smooth = np.kron(COLOUR[::8, ::8], np.ones((8, 8, 1)))
    image = Image.fromarray(levels(smooth, 255, np.uint8))
    options = {"quality": 98, "subsampling": subsampling, "progressive": progressive}
    found = decoded(saved(image, "JPEG", **options))
    assert np.abs(found - 255 * smooth).mean() <= 6


def test_alpha_of_a_photograph_is_dropped():
    values = levels(COLOUR, 255, np.uint8)
    image = Image.fromarray(np.concatenate([values, ALPHA[..., None]], -1))
    for kind in ("PNG", "TIFF"):
        assert (decoded(saved(image, kind)) == values).all()


def test_colours_that_were_multiplied_by_alpha():
    alpha = np.full((24, 32, 1), 128)
    stored = np.round(COLOUR * 128).astype(np.uint8)
    assert_seen(bands(np.concatenate([stored, alpha], -1).astype(np.uint8), 2, t338=1), COLOUR, 3)
    stored = np.round(GREY[..., None] * 128).astype(np.uint8)
    assert_seen(bands(np.concatenate([stored, alpha], -1).astype(np.uint8), 1, t338=1), GREY, 3)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "palette", "PA"])
@pytest.mark.parametrize("ink", [0, 20, 255])
def test_a_logo_that_only_alpha_tells(mode, ink):
    """Black on white, as on a page; white ink on black, since on white nothing is seen."""
    ground = 0 if ink >= 128 else 255
    share = ALPHA / 255
    expected = (share * ink + (1 - share) * ground)[..., None]
    if mode == "palette":
        alphas = sorted({*ALPHA.flat})
        image = Image.fromarray(np.searchsorted(alphas, ALPHA).astype(np.uint8), "P")
        image.putpalette(bytes([ink] * 3 * len(alphas)))
        data = saved(image, "PNG", transparency=bytes(alphas))
    elif mode == "PA":
        pixels = np.stack([np.zeros_like(ALPHA), ALPHA], -1)
        image = Image.frombytes("PA", (32, 24), pixels.tobytes())
        image.putpalette(bytes([ink] * 3))
        data = saved(image, "TIFF")
    else:
        count = {"RGBA": 3, "LA": 1}[mode]
        layers = [np.full_like(ALPHA, ink)] * count + [ALPHA]
        data = saved(Image.fromarray(np.stack(layers, -1), mode), "PNG")
    assert np.abs(decoded(data) - expected).max() <= 1


def test_a_picture_of_one_colour_and_one_alpha_stays_it():
    assert (decoded(saved(Image.new("RGBA", (4, 4), (9, 9, 9, 0)), "PNG")) == 9).all()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (bands(COLOUR.astype(np.float32), 8), "3 x 32 bits, float .photometric 8"),
        (bands(GREY.astype(np.float16), 1, t259=5), "1 x 16 bits, float"),
        (bands(GREY.astype(np.float64), 1, t339=6), "1 x 64 bits, complex"),
        (bands(GREY.astype(np.float64), 1, t277=900), "900 x 64 bits, float"),
    ],
)
def test_pixels_that_cannot_be_read_are_named(data, said):
    with pytest.raises(ItemError, match=f"{said}.*; save it as RGB or grey") as caught:
        decode_image(data, LIMITS)
    assert caught.value.code == "unsupported_pixels"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (bytes(128) + b"DICM\2\0", "DICOM"),
        (b"II*\0\x10\0\0\0CR\2\0", "camera raw .Canon"),
        (b"IIRO\x08\0\0\0", "camera raw .Olympus"),
        (b"II\xbc\x01\x20\0\0\0", "JPEG XR"),
        (b"SIMPLE  =                    T", "FITS"),
        (b"\x93NUMPY\x01\0", "NumPy"),
        (b"#?RADIANCE\n", "Radiance"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (bands(np.zeros((4, 4), np.uint16), 32803), "camera raw"),
        (bands(np.zeros((4, 4, 3), np.uint8), 2, t254=1), "begins with a preview"),
        (bands(np.zeros((4, 4, 3), np.uint8), 2, t50706=1), "camera raw"),
    ],
)
def test_other_files_are_named(data, said):
    with pytest.raises(ItemError, match=said) as caught:
        decode_image(data, LIMITS)
    assert (caught.value.stage, caught.value.code) == ("decode", "unsupported_format")


def test_turned_pictures_of_few_bits_are_upright():
    values = levels(COLOUR, 4095, np.uint16)
    assert_seen(bands(np.rot90(values), 2, t274=6), COLOUR)
    assert_seen(bands(np.rot90(levels(GREY, 4095, np.uint16)), 1, t274=6), GREY)


def test_large_values_are_scaled_as_the_whole_is():
    """The range is found in a part of a large picture."""
    values = np.tile(levels(GREY, 4095, np.uint16), (60, 60))
    expected = np.floor(values / 4095 * 255 + 0.5)
    assert (to_8_bit(values) == expected).all()
