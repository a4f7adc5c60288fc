"""Boxes and masks that cannot be what was meant are told from those that can."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image
from raw_pictures import bands

from seraser_core.config.options import DatasetOptions, LimitOptions
from seraser_core.errors import ItemError
from seraser_core.sources.boxes import box_mask, in_pixels
from seraser_core.sources.decode import decode_mask
from seraser_core.sources.plausible_boxes import judge_boxes
from seraser_core.sources.plausible_masks import judge_masks, look_at_mask

LIMITS = LimitOptions()
RNG = np.random.default_rng(12)
COUNT = 16
SIZES = RNG.integers(200, 900, (COUNT, 2)).astype(float)


def corners():
    """Objects of some tenths of their images, about the middle, in whole pixels."""
    start = RNG.uniform(0.05, 0.45, (COUNT, 2)) * SIZES
    end = start + RNG.uniform(0.3, 0.5, (COUNT, 2)) * SIZES
    return np.round(np.hstack([start, end]))


XYXY = corners()
XYWH = np.hstack([XYXY[:, :2], XYXY[:, 2:] - XYXY[:, :2]])
WIDE = np.hstack([SIZES, SIZES])
FRACTIONS = XYXY / WIDE
YOLO = np.hstack([(XYXY[:, :2] + XYXY[:, 2:]) / 2, XYXY[:, 2:] - XYXY[:, :2]]) / WIDE
YXYX = XYXY[:, [1, 0, 3, 2]]


@pytest.mark.parametrize(
    ("boxes", "form"), [(XYXY, "xyxy"), (XYWH, "xywh"), (FRACTIONS, "fractions")]
)
def test_boxes_of_their_format_are_not_doubted(boxes, form):
    verdict = judge_boxes(boxes, boxes, SIZES, form)
    assert (verdict.refusal, verdict.warnings) == (None, [])


@pytest.mark.parametrize(
    ("boxes", "form", "found", "remedy"),
    [
        (FRACTIONS, "xyxy", "each of 16 boxes lies between 0 and 1", "box_format: fractions"),
        (FRACTIONS, "xywh", "each of 16 boxes lies between 0 and 1", "box_format: fractions"),
        (YOLO, "xyxy", "each of 16 boxes lies between 0 and 1", "centre - width / 2"),
        (XYWH, "xyxy", r"\d+ of 16 boxes are empty as xyxy", "box_format: xywh"),
        (XYXY, "xywh", r"\d+ of 16 boxes leave their image as xywh", "box_format: xyxy"),
        (XYXY, "fractions", "each of 16 boxes reaches beyond 1", "box_format: xyxy or xywh"),
        (YOLO, "fractions", "have right <= left", "centre, width and height, as YOLO"),
        (XYXY * 3, "xyxy", "all of 16 boxes that were looked at leave", "another size"),
        (XYXY[:, [2, 3, 0, 1]], "xyxy", "each of 16 boxes has right <= left", "in the order"),
        (YXYX, "xyxy", "none does when x and y change places", "x before y"),
    ],
)
def test_boxes_of_another_format_are_refused(boxes, form, found, remedy):
    verdict = judge_boxes(boxes, boxes, SIZES, form)
    assert verdict.refusal is not None
    assert re.search(found, verdict.refusal[0])
    assert remedy in verdict.refusal[1]


@pytest.mark.parametrize(
    ("change", "form", "said"),
    [
        ({3: [0, 0, 1, 1]}, "xyxy", "1 of 16 boxes lie between 0 and 1"),
        ({3: [50, 50, 20, 90]}, "xyxy", "1 of 16 boxes are empty"),
        ({i: [0, 0, 2000, 2000] for i in range(9)}, "xyxy", "9 of 16 boxes that were looked at"),
    ],
)
def test_some_strange_boxes_are_warned_of(change, form, said):
    boxes = XYXY.copy()
    for place, box in change.items():
        boxes[place] = box
    verdict = judge_boxes(boxes, boxes, SIZES, form)
    assert verdict.refusal is None
    assert said in verdict.warnings[0]


def test_boxes_that_would_fit_otherwise_too_are_warned_of():
    small = np.hstack([np.full((COUNT, 2), 10.0), np.full((COUNT, 2), 60.0)])
    assert "width and height" in judge_boxes(small, small, SIZES, "xyxy").warnings[0]
    flat = np.tile([0.4, 0.4, 0.6, 0.6], (COUNT, 1))
    assert "as YOLO" in judge_boxes(flat, flat, SIZES, "fractions").warnings[0]


def test_centres_given_as_xywh_are_warned_of():
    centres = XYWH.copy()
    centres[:, :2] += centres[:, 2:] / 2
    leave = int((centres[:, :2] + centres[:, 2:] > SIZES + 1).any(1).sum())
    assert 0 < leave < COUNT
    (warning,) = judge_boxes(centres, centres, SIZES, "xywh").warnings
    assert f"{leave} of 16 boxes" in warning
    assert "left = x - width / 2" in warning
    one = XYWH.copy()
    one[3, 0] = SIZES[3, 0] - one[3, 2] + 2
    assert "1 of 16" in judge_boxes(one, one, SIZES, "xywh").warnings[0]
    far = XYWH * 3
    assert "left = x - width / 2" in judge_boxes(far, far, SIZES, "xywh").refusal[1]


@pytest.mark.parametrize("form", ["xyxy", "xywh"])
@pytest.mark.parametrize(("parts", "least"), [(100, 200), (1000, 1100)])
def test_parts_of_100_and_1000_are_warned_of(form, parts, least):
    boxes = np.round((FRACTIONS if form == "xyxy" else XYWH / WIDE) * parts)
    sizes = SIZES + least
    warnings = " ".join(judge_boxes(boxes, boxes, sizes, form).warnings)
    assert f"divide them by {parts}" in warnings
    scaled = (XYXY if form == "xyxy" else XYWH) * 8
    assert "divide" not in " ".join(judge_boxes(scaled, scaled, SIZES * 8, form).warnings)


@pytest.mark.parametrize("form", ["xyxy", "xywh", "fractions"])
def test_boxes_of_no_finite_number_are_counted(form):
    boxes = {"xyxy": XYXY, "xywh": XYWH, "fractions": FRACTIONS}[form].copy()
    boxes[2, 0], boxes[5, 3] = np.inf, np.nan
    verdict = judge_boxes(boxes, boxes, SIZES, form)
    said = "2 of 16 boxes hold what is no finite number and make error rows"
    assert (verdict.refusal, verdict.warnings) == (None, [said])
    assert "16 of 16" in judge_boxes(boxes * np.inf, boxes, SIZES, form).warnings[0]


def test_tiny_and_whole_boxes_are_warned_of():
    whole = np.hstack([np.zeros((COUNT, 2)), SIZES])
    assert "100.0 %" in " ".join(judge_boxes(whole, whole, SIZES, "xyxy").warnings)
    tiny = XYXY.copy()
    tiny[:, 2:] = tiny[:, :2] + 4
    assert "mean share" in " ".join(judge_boxes(tiny, tiny, SIZES, "xyxy").warnings)


def test_boxes_are_judged_without_any_size():
    nothing = np.empty((0, 4)), np.empty((0, 2))
    assert judge_boxes(FRACTIONS, *nothing, "xyxy").refusal is not None
    assert judge_boxes(XYXY, *nothing, "xyxy").refusal is None
    assert judge_boxes(np.full((3, 4), np.nan), *nothing, "xyxy").refusal is None


@pytest.mark.parametrize(
    ("box", "form"),
    [((29, 10, 57, 40), "xyxy"), ((29, 10, 28, 30), "xywh"), ((0.29, 0.2, 0.57, 0.8), "fractions")],
)
def test_one_box_in_three_formats_is_the_same_foreground(box, form):
    wanted = np.zeros((50, 100), bool)
    wanted[10:40, 29:57] = True
    assert (box_mask(in_pixels(box, form, (100, 50)), (100, 50)) == wanted).all()
    half = box_mask(in_pixels(box, form, (50, 25), 0.5), (50, 25))
    assert (half == wanted[::2, ::2] | wanted[1::2, 1::2]).all()


def test_a_format_without_boxes_is_refused():
    with pytest.raises(ValueError, match=r"box_format: .xywh. without"):
        DatasetOptions(path="x", classes=["a", "b"], box_format="xywh")


def png(pixels, mode=None, palette=None):
    data = io.BytesIO()
    image = Image.fromarray(np.asarray(pixels, np.uint8), mode)
    if palette is not None:
        image.putpalette(palette)
    image.save(data, "PNG")
    return data.getvalue()


PICTURES = RNG.integers(1, 256, (6, 40, 60, 3), dtype=np.uint8)
SCENES = [np.kron(picture[::4, ::4], np.ones((4, 4, 1))) for picture in PICTURES]


def blob(i, inside=255, outside=0):
    mask = np.full((40, 60), outside, np.uint8)
    mask[8 + i : 24 + i, 10:40] = inside
    return mask


def trimap(i):
    mask = blob(i, 1, 2)
    mask[8 + i, 10:40] = 3
    return mask


def voc(i):
    mask = blob(i, 3)
    mask[7 + i, 10:40] = 255
    return mask


def judged(make, count=6):
    looks = [look_at_mask(png(make(i)), png(SCENES[i]), LIMITS) for i in range(count)]
    return judge_masks(looks, [])


def shades(i):
    noise = np.random.default_rng(i).integers(1, 255, (40, 60))
    return np.where(blob(i) > 0, 255 - noise // 8, noise // 4 + 1)


def instances(i):
    mask = blob(i, 7)
    mask[30:36, 5:20] = 12
    return mask


@pytest.mark.parametrize("make", [blob, instances, lambda i: blob(i, 1)])
def test_masks_that_can_be_foregrounds_are_not_doubted(make):
    verdict = judged(make)
    assert (verdict.refusal, verdict.warnings) == (None, [])


@pytest.mark.parametrize(
    ("make", "found", "remedy"),
    [
        (trimap, "its values are 1, 2, 3, and none is 0", "Oxford-IIIT Pet"),
        (lambda i: blob(i, 255, 255), "its values are 255, and none is 0", "background as 0"),
        (lambda i: blob(i, 0, 0), "is 0 everywhere", "foreground is not 0"),
        (lambda i: SCENES[i], "shows what its image shows", "column of the masks"),
        (lambda i: blob(i, 3, 9), "its values are 3, 9, and none is 0", "background as 0"),
        (shades, "shades of grey, and none is 0", "probabilities"),
        (
            lambda i: np.stack([blob(i, 200, 40), blob(i, 9, 80), blob(i, 1, 2)], -1),
            "no colour is black",
            "background as black",
        ),
        (
            lambda i: np.where(np.indices((40, 60)).sum(0) == i, 0, shades(i)),
            "shades of grey, and on average",
            "cut at a threshold",
        ),
    ],
)
def test_masks_that_tell_no_foreground_are_refused(make, found, remedy):
    verdict = judged(make)
    assert verdict.refusal is not None
    assert found in verdict.refusal[0]
    assert remedy in verdict.refusal[1]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (voc, "the value 255, which often stands for pixels to ignore"),
        (lambda i: blob(i, 0, 255), "they may be inverted"),
        (lambda i: blob(0), "are the same"),
        (lambda i: np.where(blob(i) > 0, shades(i), 0), "have shades of grey"),
        (lambda i: blob(i, 255, 255 * (i > 0)), "are foreground everywhere"),
        (lambda i: np.pad([[9]], ((i, 39 - i), (0, 59))), "the mean share of the picture is 0.0 %"),
    ],
)
def test_strange_masks_are_warned_of(make, said):
    verdict = judged(make)
    assert verdict.refusal is None
    assert said in " ".join(verdict.warnings)


def floats(inside, outside, kind=np.float32):
    """Masks of floats; those of 64 bits are read without Pillow."""
    return [bands(np.where(blob(i) > 0, inside, outside).astype(kind), 1) for i in range(6)]


def judged_floats(masks):
    return judge_masks([look_at_mask(m, png(SCENES[i]), LIMITS) for i, m in enumerate(masks)], [])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_what_is_no_number_is_background(kind):
    masks = floats(1, np.nan, kind)
    assert (decode_mask(masks[2], (60, 40), LIMITS) == (blob(2) > 0)).all()
    verdict = judged_floats(masks)
    assert (verdict.refusal, verdict.warnings) == (None, [])


@pytest.mark.parametrize(
    ("inside", "outside", "found", "remedy"),
    [
        (0.9, 0.001, "its values are 0.001, 0.9, and none is 0", "probabilities"),
        (1, -1, "its values are -1, 1, and none is 0", "background as 0"),
        (np.inf, 0.5, "its values are 0.5, inf, and none is 0", "background as 0"),
        (np.nan, np.nan, "is 0 everywhere", "foreground is not 0"),
    ],
)
def test_values_of_float_masks_are_told_as_they_are(inside, outside, found, remedy):
    verdict = judged_floats(floats(inside, outside))
    assert found in verdict.refusal[0]
    assert remedy in verdict.refusal[1]


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_images_of_many_bits_in_the_place_of_masks_are_told(kind):
    scenes = [scene[..., 0].astype(kind) * 257 for scene in SCENES]
    looks = [look_at_mask(bands(s, 1), png(s // 257), LIMITS) for s in scenes]
    assert "shows what its image shows" in judge_masks(looks, []).refusal[0]


def test_few_masks_are_not_refused_for_what_they_hold():
    verdict = judged(lambda i: blob(i, 255, 255), count=2)
    assert verdict.refusal is None
    assert verdict.warnings


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: _jpeg(blob(0)), "mask_lossy"),
        (lambda: png(np.zeros((40, 50))), "mask_size"),
        (lambda: png(blob(0, 1), "P", [9, 9, 9, 255, 0, 0]), "mask_palette"),
    ],
)
def test_masks_none_of_which_can_be_used_are_refused(make, code):
    faults = []
    for scene in SCENES:
        with pytest.raises(ItemError) as caught:
            look_at_mask(make(), png(scene), LIMITS)
        faults.append(caught.value)
    assert {fault.code for fault in faults} == {code}
    verdict = judge_masks([], faults)
    assert verdict.refusal is not None
    assert "none of 6 masks that were looked at can be used" in verdict.refusal[0]
    assert judge_masks([], [ItemError("fetch", "missing", "there is no file x")]).refusal is None


def _jpeg(pixels):
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG")
    return data.getvalue()
