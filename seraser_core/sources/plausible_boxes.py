"""Checking boxes against ``dataset.box_format``."""

from __future__ import annotations

import numpy as np

from seraser_core.errors import ItemError
from seraser_core.sources.boxes import BoxFormat, box_mask, in_pixels
from seraser_core.sources.plausible import Verdict, doubt_share

_SLACK_PIXELS, _SLACK = 1.0, 0.01
"""Pixels, and share of the image, by which rounded boxes may exceed it."""
_FAR = 0.05
_PARTS = (100, 1000)
_CENTRES = "where x and y are their centres, give left = x - width / 2 and top = y - height / 2"
_FEW = 8
"""Number of boxes that fit another format by more than chance."""
_FRACTIONS = (
    "they are parts of the image's sides: set dataset.box_format: fractions where they are left, "
    "top, right and bottom; convert centre, width and height, as YOLO has them: left = centre - "
    "width / 2, right = centre + width / 2"
)


def judge_boxes(
    boxes: np.ndarray, looked: np.ndarray, sizes: np.ndarray, form: BoxFormat
) -> Verdict:
    """Judge whether boxes can have a format.

    Args:
        boxes: (N, 4) all boxes of the data set, as it has them.
        looked: (M, 4) those of images whose sizes are known.
        sizes: (M, 2) width and height of these.
        form: See the option ``dataset.box_format``.
    """
    finite, known = np.isfinite(boxes).all(1), np.isfinite(looked).all(1)
    lacking = int((~finite).sum())
    said = f"{lacking} of {len(boxes)} boxes hold what is no finite number and make error rows"
    boxes, looked, sizes = boxes[finite], looked[known], sizes[known]
    if not len(boxes):
        return Verdict(None, [said] if lacking else [])
    judge = _judge_fractions if form == "fractions" else _judge_pixels
    verdict = judge(boxes, looked, sizes, form)
    if verdict.refusal is None:
        shares = [_share(box, form, size) for box, size in zip(looked, sizes, strict=True)]
        verdict.warnings += doubt_share("box", float(np.mean(shares or [0.5])), len(shares))
    if lacking:
        verdict.warnings.append(said)
    return verdict


def _judge_pixels(
    boxes: np.ndarray, looked: np.ndarray, sizes: np.ndarray, form: BoxFormat
) -> Verdict:
    unit = np.asarray(((boxes >= 0) & (boxes <= 1)).all(1))
    if unit.all():
        fault = f"each of {len(boxes)} boxes lies between 0 and 1, such as {_text(boxes[0])}"
        return Verdict((fault, _FRACTIONS))
    is_corners = form == "xyxy"
    empty = _empty(boxes if is_corners else _with_lengths(boxes))
    corners = _fit(looked, sizes)
    lengths = _fit(_with_lengths(looked), sizes)
    as_given, otherwise = (corners, lengths) if is_corners else (lengths, corners)
    other = "xywh" if is_corners else "xyxy"
    wrong = bool(empty.any()) if is_corners else not as_given.all()
    if len(looked) and wrong and otherwise.all():
        return Verdict(
            (
                f"{_how_many(empty, as_given, boxes)} as {form}, and all of {len(looked)} that "
                f"were looked at fit their images as {other}, such as {_text(looked[0])}",
                f"set dataset.box_format: {other}",
            )
        )
    if empty.all():
        what = "right <= left or bottom <= top" if is_corners else "a width or height <= 0"
        fault = f"each of {len(boxes)} boxes has {what}, such as {_text(boxes[0])}"
        return Verdict((fault, f"name the four columns in the order of {form}"))
    turned = looked[:, [1, 0, 3, 2]]
    if len(looked) and not as_given.all():
        if _fit(turned if is_corners else _with_lengths(turned), sizes).all():
            return Verdict(
                (
                    f"{int((~as_given).sum())} of {len(looked)} boxes that were looked at leave "
                    "their image, and none does when x and y change places",
                    "name the four columns in the other order: x before y",
                )
            )
        far = _far(looked if is_corners else _with_lengths(looked), sizes)
        if far.all():
            return Verdict(
                (
                    f"all of {len(looked)} boxes that were looked at leave their image, such as "
                    f"{_text(looked[0])} of one of {_size(sizes[0])}",
                    "give them in pixels of the images as they are, not of another size of them "
                    "or in parts of 1000" + ("" if is_corners else f"; {_CENTRES}"),
                )
            )
    doubts = _doubts(boxes, looked, unit, empty, as_given, otherwise, form)
    return Verdict(None, doubts + _parts(boxes if is_corners else _with_lengths(boxes), sizes))


def _parts(corners: np.ndarray, sizes: np.ndarray) -> list[str]:
    """Return a warning if boxes may be percentages, or parts of 1000 as from language models."""
    most = float(corners.max())
    parts = next((parts for parts in _PARTS if most <= parts), None)
    if parts is None or len(sizes) < _FEW or not (sizes > parts).all():
        return []
    return [
        f"no side of {len(corners)} boxes is beyond {parts}, and every image that was looked at is "
        f"larger; where they are parts of {parts}, divide them by {parts} and give "
        "left, top, right and bottom with dataset.box_format: fractions"
    ]


def _doubts(
    boxes: np.ndarray,
    looked: np.ndarray,
    unit: np.ndarray,
    empty: np.ndarray,
    as_given: np.ndarray,
    otherwise: np.ndarray,
    form: BoxFormat,
) -> list[str]:
    doubts = []
    if unit.any():
        doubts.append(
            f"{int(unit.sum())} of {len(boxes)} boxes lie between 0 and 1 and count as a pixel"
        )
    if empty.any():
        doubts.append(f"{int(empty.sum())} of {len(boxes)} boxes are empty and make error rows")
    leave = int((~as_given & ~_empty(_with_lengths(looked))).sum()) if form == "xywh" else 0
    if leave:
        doubts.append(
            f"{leave} of {len(looked)} boxes that were looked at leave their image as xywh; "
            f"{_CENTRES}"
        )
    elif len(looked) and (~as_given).mean() > 0.5:
        doubts.append(
            f"{int((~as_given).sum())} of {len(looked)} boxes that were looked at leave their image"
        )
    if len(looked) >= _FEW and as_given.all() and otherwise.all():
        other = "x, y, width and height" if form == "xyxy" else "left, top, right and bottom"
        doubts.append(
            f"all of {len(looked)} boxes that were looked at would also fit as {other}; see "
            "whether dataset.box_format is right"
        )
    return doubts


def _judge_fractions(
    boxes: np.ndarray, looked: np.ndarray, sizes: np.ndarray, form: BoxFormat
) -> Verdict:
    over = (boxes > 1 + _SLACK).any(1)
    if over.all():
        fault = f"each of {len(boxes)} boxes reaches beyond 1, such as {_text(boxes[0])}"
        return Verdict((fault, "they are pixels: set dataset.box_format: xyxy or xywh"))
    one = np.ones((len(boxes), 2))
    centre, length = boxes[:, :2], boxes[:, 2:]
    as_yolo = _fit(np.hstack([centre - length / 2, centre + length / 2]), one, _SLACK)
    as_lengths = _fit(_with_lengths(boxes), one, _SLACK)
    empty = _empty(boxes)
    if empty.any() and (as_yolo.all() or as_lengths.all()):
        kinds = [
            name
            for name, fits in (
                ("centre, width and height, as YOLO has them (left = centre - width / 2)", as_yolo),
                ("left, top, width and height (right = left + width)", as_lengths),
            )
            if fits.all()
        ]
        fault = f"{int(empty.sum())} of {len(boxes)} boxes have right <= left or bottom <= top"
        return Verdict((fault, f"they may be {' or '.join(kinds)}; convert them"))
    if empty.all():
        fault = f"each of {len(boxes)} boxes has right <= left or bottom <= top"
        return Verdict((fault, "name the columns of left, top, right and bottom in this order"))
    warnings = []
    if over.any():
        warnings.append(f"{int(over.sum())} of {len(boxes)} boxes reach beyond 1")
    if empty.any():
        warnings.append(f"{int(empty.sum())} of {len(boxes)} boxes are empty and make error rows")
    if len(boxes) >= _FEW and not empty.any() and as_yolo.all():
        warnings.append(
            f"all of {len(boxes)} boxes would also fit as centre, width and height, as YOLO has "
            "them; see which they are"
        )
    return Verdict(None, warnings)


def _fit(corners: np.ndarray, sizes: np.ndarray, slack: float = _SLACK_PIXELS) -> np.ndarray:
    """Return which boxes are not empty and lie in their images: (M,) bool."""
    inside = (corners[:, :2] >= -slack) & (corners[:, 2:] <= sizes + slack)
    return np.asarray(inside.all(1) & ~_empty(corners))


def _far(corners: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    return np.asarray((corners[:, 2:] > sizes * (1 + _FAR) + _SLACK_PIXELS).any(1))


def _empty(corners: np.ndarray) -> np.ndarray:
    return np.asarray((corners[:, 2:] <= corners[:, :2]).any(1))


def _with_lengths(boxes: np.ndarray) -> np.ndarray:
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


def _share(box: np.ndarray, form: BoxFormat, size: np.ndarray) -> float:
    whole = int(size[0]), int(size[1])
    try:
        return float(box_mask(in_pixels(box.tolist(), form, whole), whole).mean())
    except ItemError:
        return 0.0


def _how_many(empty: np.ndarray, fits: np.ndarray, boxes: np.ndarray) -> str:
    if empty.any():
        return f"{int(empty.sum())} of {len(boxes)} boxes are empty"
    return f"{int((~fits).sum())} of {len(fits)} boxes leave their image"


def _text(box: np.ndarray) -> str:
    return "[" + ", ".join(f"{side:g}" for side in box) + "]"


def _size(size: np.ndarray) -> str:
    return f"{int(size[0])} x {int(size[1])} pixels"
