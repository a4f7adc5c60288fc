"""Decoding good, unusual and bad files."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seraser_core.config.options import LimitOptions
from seraser_core.errors import ItemError
from seraser_core.sources.boxes import box_mask
from seraser_core.sources.decode import decode_image, decode_mask, decode_reduced

LIMITS = LimitOptions()
ORIENTATION = 0x0112
OTHER = Image.new("RGB", (60, 40), "red")
KINDS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]


@pytest.fixture
def picture() -> Image.Image:
    """A picture of 60 x 40 pixels whose corners differ."""
    rng = np.random.default_rng(3)
    pixels = np.kron(rng.integers(0, 256, (4, 6, 3)), np.ones((10, 10, 1))).astype(np.uint8)
    pixels[:20, :30] = (200, 30, 20)
    return Image.fromarray(pixels)


def pixels_of(data: bytes, limits: LimitOptions = LIMITS) -> np.ndarray:
    image = decode_image(data, limits)
    assert image.mode == "RGB"
    return np.asarray(image)


def code_of(data: bytes, limits: LimitOptions = LIMITS) -> tuple[str, str]:
    with pytest.raises(ItemError) as caught:
        decode_image(data, limits)
    assert len(caught.value.message) > 5
    return caught.value.stage, caught.value.code


def png(width: int, height: int, *chunks: tuple[bytes, bytes], depth: int = 8) -> bytes:
    """A PNG file of an RGB header and the given chunks."""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", header), *chunks)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_format(picture, encode, kind):
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    found = pixels_of(encode(picture, kind, **options)).astype(int)
    expected = np.asarray(picture).astype(int)
    assert found.shape == expected.shape
    difference = np.abs(found - expected)
    assert difference.mean() <= {"JPEG": 6, "GIF": 3}.get(kind, 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_made_upright(picture, encode, kind, orientation):
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # stored so that a turn by 270 degrees makes it upright
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = picture.transpose(turns[orientation]) if orientation > 1 else picture
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    found = pixels_of(encode(stored, kind, exif=exif, **options)).astype(int)
    assert found.shape == (40, 60, 3)
    assert np.abs(found - np.asarray(picture)).mean() <= (6 if kind == "JPEG" else 0)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0rubbish",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
    ],
)
def test_damaged_exif_does_not_refuse_a_good_image(picture, encode, exif):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of the damage
        assert pixels_of(encode(picture, "JPEG", exif=exif)).shape == (40, 60, 3)
        assert pixels_of(encode(picture, "PNG", exif=exif)).shape == (40, 60, 3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
@pytest.mark.parametrize(("top", "full"), [(200, 255), (4000, 4095), (65535, 65535)])
def test_16_bits_are_scaled_not_clipped(encode, kind, order, top, full):
    ramp = np.linspace(0, top, 48).astype(np.uint16).reshape(6, 8)
    if kind == "TIFF" and order == ">u2":
        image = Image.frombytes("I;16B", (8, 6), ramp.astype(order).tobytes())
    else:
        image = Image.fromarray(ramp)
    found = pixels_of(encode(image, kind))
    expected = np.floor(ramp / full * 255 + 0.5)
    assert (found == expected[..., None]).all()
    assert found.max() == round(top * 255 / full)


def test_a_large_grey_picture_is_scaled_without_gigabytes(encode):
    data = encode(Image.fromarray(np.full((3000, 4000), 512, dtype=np.uint16)), "PNG")
    tracemalloc.start()
    pixels_of(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 3000 * 4000  # one copy as floats would take 96 MB


def test_16_bit_colour_is_scaled():
    values = np.array([[[0, 257, 65535], [32896, 514, 1]]], dtype=">u2")
    body = zlib.compress(b"\0" + values.tobytes())
    found = pixels_of(png(2, 1, (b"IDAT", body), (b"IEND", b""), depth=16))
    assert np.abs(found.astype(int) - [[[0, 1, 255], [128, 2, 0]]]).max() <= 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 255]], dtype=np.int32), [0, 255]),
        (np.array([[0, 65535]], dtype=np.int32), [0, 255]),
        (np.array([[-1000, 0, 1000]], dtype=np.int32), [0, 128, 255]),
        (np.array([[0, 0.5, 1]], dtype=np.float32), [0, 128, 255]),
        (np.array([[0, 100, 255]], dtype=np.float32), [0, 100, 255]),
        (np.array([[0, np.nan, 1, np.inf]], dtype=np.float32), [0, 0, 255, 255]),
        (np.array([[-3.5, -3.5]], dtype=np.float32), [0, 0]),
    ],
)
def test_wide_grey_values_are_scaled(encode, values, expected):
    assert pixels_of(encode(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("P", "PNG"),
        ("P", "GIF"),
        ("P", "BMP"),
        ("CMYK", "JPEG"),
        ("CMYK", "TIFF"),
        ("YCbCr", "JPEG"),
        ("LAB", "TIFF"),
        ("L", "JPEG"),
        ("L", "PNG"),
        ("1", "PNG"),
        ("1", "TIFF"),
        ("1", "BMP"),
        ("LA", "PNG"),
        ("RGBA", "PNG"),
        ("RGBA", "WEBP"),
        ("RGBA", "TIFF"),
        ("PA", "TIFF"),
    ],
)
def test_every_mode_converts_as_pillow_does(picture, encode, mode, kind):
    made = picture.convert(mode) if mode not in ("LAB", "PA") else picture
    if mode == "LAB":
        made = Image.frombytes("LAB", picture.size, picture.tobytes())
    elif mode == "PA":
        made = picture.convert("P").convert("PA")
    if mode in ("LA", "RGBA"):
        made.putalpha(77)
    data = encode(made, kind, **({"lossless": True} if kind == "WEBP" else {}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pixels_of(data)
    with Image.open(io.BytesIO(data)) as image:
        assert (found == np.asarray(image.convert("RGB"))).all()


def test_transparency_of_a_palette_is_dropped_quietly(picture, encode):
    palette = picture.quantize(8)
    data = encode(palette, "PNG", transparency=bytes(range(0, 80, 10)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pixels_of(data)
    assert (found == np.asarray(palette.convert("RGB"))).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame(encode, kind):
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (pixels_of(data) == (255, 0, 0)).all()


def test_of_several_jpegs_in_one_the_first(picture, encode):
    data = encode(picture, "MPO", save_all=True, append_images=[picture.rotate(180)])
    expected = pixels_of(encode(picture, "JPEG"))
    assert (pixels_of(data) == expected).all()


@pytest.mark.parametrize("size", [(1, 1), (4000, 2), (2, 4000), (1, 300)])
@pytest.mark.parametrize("kind", KINDS)
def test_odd_sizes(encode, size, kind):
    assert decode_image(encode(Image.new("RGB", size, "red"), kind), LIMITS).size == size


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"this is a text, not a picture\n" * 20, "undecodable"),
        (b"BMW is a car, no bitmap" * 9, "truncated"),  # taken for the start of a bitmap
        (b"IIIIIIIIIIIIIIII", "undecodable"),
        (b"RIFF\x10\0\0\0WAVEfmt " + bytes(40), "undecodable"),
        (b"\xff\xd8\xff", "undecodable"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (b"GIF89a", "truncated"),
        (bytes(1000), "undecodable"),
        (b"\x00\x00\x00\x1cftypavif" + bytes(100), "unsupported_format"),
        (b"\x00\x00\x00\x1cftypheic" + bytes(100), "unsupported_format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format"),
        (b"%PDF-1.7 ...", "unsupported_format"),
    ],
)
def test_files_that_are_no_pictures(data, code):
    assert code_of(data)[1] == code


@pytest.mark.parametrize("kind", ["ICO", "JPEG2000"])
def test_pictures_of_other_formats(picture, encode, kind):
    assert code_of(encode(picture.resize((32, 32)), kind)) == ("decode", "unsupported_format")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
def test_files_that_are_cut_short(encode, kind, part):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(noise, kind)
    stage, code = code_of(data[: int(len(data) * part)])
    assert stage == "decode"
    # TIFF keeps its directory at the end and WebP says no more than that it failed.
    assert code in (["truncated"] if kind not in ("WEBP", "TIFF") else ["truncated", "undecodable"])


def test_a_png_that_is_cut_anywhere(encode):
    data = encode(Image.new("RGB", (5, 5), "red"), "PNG")
    ends = range(8, data.index(b"IDAT") + 4 + 4)
    said = set()
    for end in ends:
        with pytest.raises(ItemError) as caught:
            decode_image(data[:end], LIMITS)
        said.add((caught.value.code, caught.value.message))
    assert said == {("truncated", "the file ends before its picture does; fetch it again")}


def test_damaged_pixels(encode):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = bytearray(encode(noise, "PNG"))
    data[200:300] = bytes(100)
    assert code_of(bytes(data))[0] == "decode"


@pytest.mark.parametrize("limit", [1000, 100_000_000, 2**31])
def test_too_many_pixels_are_refused_from_the_header(limit):
    limits = LimitOptions(max_pixels=limit)
    data = png(50_000, 50_000, (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b""))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert code_of(data, limits) == ("decode", "too_large")


def test_the_limit_is_ours_not_pillows(encode):
    pixels = Image.MAX_IMAGE_PIXELS
    data = encode(Image.new("1", (10_000, 18_500)), "PNG")  # above the error limit of Pillow
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert code_of(data) == ("decode", "too_large")
        image = decode_image(data, LimitOptions(max_pixels=200_000_000))
    assert image.size == (10_000, 18_500)
    assert pixels == Image.MAX_IMAGE_PIXELS


def test_a_large_claim_in_other_formats(encode):
    bitmap = bytearray(encode(Image.new("RGB", (4, 4)), "BMP"))
    bitmap[18:26] = struct.pack("<ii", 60_000, 60_000)
    assert code_of(bytes(bitmap)) == ("decode", "too_large")
    gif = bytearray(encode(Image.new("RGB", (4, 4)), "GIF"))
    gif[6:10] = struct.pack("<HH", 60_000, 60_000)
    assert code_of(bytes(gif)) == ("decode", "too_large")


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damage_gives_an_image_or_an_item_error(kind, changes):
    buffer = io.BytesIO()
    Image.fromarray(np.arange(768, dtype=np.uint8).reshape(16, 16, 3)).save(buffer, kind)
    data = bytearray(buffer.getvalue())
    for place, value in changes:
        data[int(place * len(data))] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = decode_image(bytes(data), LimitOptions(max_pixels=1_000_000))
        except ItemError as error:
            assert error.stage == "decode"
        else:
            assert image.mode == "RGB"


def test_threads_change_neither_results_nor_settings(picture, encode):
    files = [encode(picture.rotate(i), "PNG") for i in range(40)]
    filters, pixels = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    expected = [pixels_of(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(pixels_of, files))
    assert all((a == b).all() for a, b in zip(found, expected, strict=True))
    assert (list(warnings.filters), Image.MAX_IMAGE_PIXELS) == (filters, pixels)


@pytest.fixture
def region() -> np.ndarray:
    """Foreground in an image of 60 x 40 pixels."""
    inside = np.zeros((40, 60), dtype=bool)
    inside[5:20, 10:50] = True
    return inside


def mask_of(data: bytes, size: tuple[int, int] = (60, 40)) -> np.ndarray:
    mask = decode_mask(data, size, LIMITS)
    assert (mask.dtype, mask.shape) == (bool, (size[1], size[0]))
    return mask


@pytest.mark.parametrize("value", [1, 128, 255])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF"])
def test_any_value_but_zero_is_foreground(region, encode, value, kind):
    assert (mask_of(encode((region * value).astype(np.uint8), kind)) == region).all()


def test_masks_of_every_mode(region, encode):
    grey = Image.fromarray((region * 255).astype(np.uint8))
    assert (mask_of(encode(Image.fromarray(region))) == region).all()
    assert (mask_of(encode(region.astype(np.uint16))) == region).all()  # 1 of 65535
    blue = Image.merge("RGB", [Image.new("L", grey.size), Image.new("L", grey.size), grey])
    assert (mask_of(encode(blue)) == region).all()
    for mode in ("LA", "RGBA"):
        with_alpha = grey.convert(mode)
        with_alpha.putalpha(255)
        assert (mask_of(encode(with_alpha)) == region).all()
    assert not mask_of(encode(np.zeros((40, 60), dtype=np.uint8))).any()


def palette_of(indices, *colours):
    image = Image.fromarray(np.asarray(indices, dtype=np.uint8), "P")
    image.putpalette([value for colour in colours for value in colour])
    return image


BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (255, 0, 0)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF"])
def test_masks_with_a_palette(region, encode, kind):
    assert (mask_of(encode(palette_of(region, BLACK, RED), kind)) == region).all()
    assert (mask_of(encode(palette_of(region, BLACK, WHITE), kind)) == region).all()
    assert (mask_of(encode(palette_of(~region, WHITE, BLACK), kind)) == region).all()
    rgb = Image.fromarray((region * 255).astype(np.uint8)).convert("RGB")
    assert (mask_of(encode(rgb.quantize(2), kind)) == region).all()
    assert not mask_of(encode(palette_of(region * 0 + 1, WHITE, BLACK), kind)).any()
    assert mask_of(encode(palette_of(region * 0, WHITE, BLACK), kind)).all()


def test_indices_count_where_the_palette_is_of_classes(region, encode):
    assert (mask_of(encode(palette_of(region, BLACK, BLACK))) == region).all()
    assert (mask_of(encode(palette_of(region * 2, BLACK, RED, (9, 9, 9)))) == region).all()


@pytest.mark.parametrize("colours", [((90, 90, 90), BLACK), (RED, BLACK), (WHITE, RED)])
def test_palettes_that_do_not_tell_the_background_are_refused(region, encode, colours):
    with pytest.raises(ItemError) as caught:
        mask_of(encode(palette_of(region, *colours)))
    assert (caught.value.stage, caught.value.code) == ("validate", "mask_palette")


def test_masks_of_the_same_shape_are_resized_by_nearest(region, encode):
    large = np.kron(region, np.ones((4, 4), dtype=np.uint8)).astype(np.uint8)
    assert (mask_of(encode(large)) == region).all()
    small = region[::5, ::5].astype(np.uint8)
    found = mask_of(encode(small))
    assert (found == np.kron(small, np.ones((5, 5))).astype(bool)).all()
    assert mask_of(encode(np.ones((200, 302), dtype=np.uint8))).all()  # 0.7 % off


@pytest.mark.parametrize("shape", [(60, 40), (40, 61), (1, 1), (39, 60)])
def test_masks_of_another_shape_are_refused(encode, shape):
    with pytest.raises(ItemError) as caught:
        mask_of(encode(np.ones(shape, dtype=np.uint8)))
    assert (caught.value.stage, caught.value.code) == ("validate", "mask_size")
    assert f"{shape[1]} x {shape[0]}" in caught.value.message


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("JPEG", "L", {}),
        ("WEBP", "RGB", {"quality": 100}),
        ("WEBP", "RGBA", {"quality": 100}),
        ("WEBP", "RGB", {"quality": 100, "exif": b"Exif\0\0odd"}),
        ("WEBP", "RGB", {"quality": 100, "save_all": True, "append_images": [OTHER]}),
        ("TIFF", "L", {"compression": "jpeg"}),
    ],
)
def test_masks_stored_with_loss_are_refused(region, encode, kind, mode, options):
    mask = Image.fromarray((region * 255).astype(np.uint8)).convert(mode)
    with pytest.raises(ItemError) as caught:
        mask_of(encode(mask, kind, **options))
    assert (caught.value.stage, caught.value.code) == ("validate", "mask_lossy")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("WEBP", {"lossless": True}),
        ("WEBP", {"lossless": True, "exif": b"Exif\0\0odd"}),
        ("WEBP", {"lossless": True, "save_all": True, "append_images": [OTHER]}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ],
)
def test_masks_stored_without_loss_are_taken(region, encode, kind, options):
    mask = Image.fromarray((region * 255).astype(np.uint8)).convert("RGB")
    assert (mask_of(encode(mask, kind, **options)) == region).all()


def test_bad_masks_have_the_codes_of_bad_images():
    with pytest.raises(ItemError) as caught:
        mask_of(b"")
    assert (caught.value.stage, caught.value.code) == ("decode", "empty")


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((2, 1, 5, 4), (2, 1, 5, 4)),
        ((2.9, 1.2, 4.1, 3.5), (2, 1, 5, 4)),
        ((-5, -5, 100, 100), (0, 0, 10, 8)),
        ((9, 7, 10, 8), (9, 7, 10, 8)),
    ],
)
def test_boxes(box, expected):
    x0, y0, x1, y1 = expected
    wanted = np.zeros((8, 10), dtype=bool)
    wanted[y0:y1, x0:x1] = True
    assert (box_mask(box, (10, 8)) == wanted).all()


@pytest.mark.parametrize(
    "box",
    [
        (5, 5, 5, 7),
        (5, 5, 3, 7),
        (10, 0, 20, 8),
        (-9, -9, 0, 0),
        (0, 0, float("nan"), 4),
        (0, 0, float("inf"), 4),
    ],
)
def test_boxes_without_pixels_are_refused(box):
    with pytest.raises(ItemError) as caught:
        box_mask(box, (10, 8))
    assert (caught.value.stage, caught.value.code) == ("validate", "bad_box")


@pytest.mark.parametrize("turn", [1, 6])
def test_a_large_photograph_can_be_decoded_at_a_part_of_its_size(encode, turn):
    rows, columns = np.mgrid[0:480, 0:640]
    whole = Image.fromarray(np.stack([rows % 256, columns % 256, rows // 4], -1).astype(np.uint8))
    exif = Image.Exif()
    exif[ORIENTATION] = turn
    data = encode(whole, "JPEG", quality=95, exif=exif)
    reduced, scale = decode_reduced(data, LIMITS, 100)
    assert scale == 1 / 4
    assert reduced.size == ((160, 120) if turn == 1 else (120, 160))
    expected = decode_image(data, LIMITS).resize(reduced.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(reduced, int) - np.asarray(expected, int)).mean() < 4


@pytest.mark.parametrize(("kind", "least"), [("PNG", 10), ("JPEG", 40)])
def test_other_pictures_are_decoded_whole(picture, encode, kind, least):
    data = encode(picture, kind)
    reduced, scale = decode_reduced(data, LIMITS, least)
    assert scale == 1
    assert np.array_equal(np.asarray(reduced), pixels_of(data))


def test_a_reduced_picture_has_the_limits_of_the_whole_one(encode):
    data = encode(Image.new("RGB", (640, 480)), "JPEG")
    with pytest.raises(ItemError, match="640 x 480 pixels"):
        decode_reduced(data, LimitOptions(max_pixels=640 * 480 - 1), 100)
