"""The figures of the page as inline SVG; their colours are classes of the style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from markupsafe import Markup, escape

from seraser_core.display import percent
from seraser_core.report.facts import Share
from seraser_core.report.svg import along, drawing, element, grid, span

_ROW = 26


def dumbbell(
    name: str,
    before: Share,
    after: Share,
    change: str = "",
    start: float = 0.0,
    height: float = _ROW,
) -> Markup:
    """Shares before and after with their intervals: a ring, a line, a dot.

    Args:
        name: Of what has these shares.
        before: Under zero-shot.
        after: Under the method.
        change: ``gain``, ``loss`` or empty.
        start: Share at which the axis begins.
        height: Of the strip, in pixels.
    """
    middle = height / 2
    title = (
        f"{name}: {percent(before.value)} before ({_interval(before)}), "
        f"{percent(after.value)} after ({_interval(after)})"
    )
    return drawing(
        title,
        *grid(height),
        _band(before, middle, "was", start),
        _band(after, middle, f"now {change}", start),
        element(
            "line",
            x1=along(before.value, start),
            x2=along(after.value, start),
            y1=middle,
            y2=middle,
            class_=f"way {change}",
        ),
        element("circle", cx=along(before.value, start), cy=middle, r=4.5, class_="was"),
        element("circle", cx=along(after.value, start), cy=middle, r=5.5, class_=f"now {change}"),
        class_="strip",
        width="100%",
        height=height,
    )


def interval(name: str, share: Share, start: float = 0.0, height: float = _ROW) -> Markup:
    """A share with its interval: a dot in a band, on an axis that begins at `start`."""
    middle = height / 2
    return drawing(
        f"{name}: {percent(share.value)} ({_interval(share)})",
        *grid(height),
        _band(share, middle, "now", start),
        element("circle", cx=along(share.value, start), cy=middle, r=5.5, class_="now"),
        class_="strip",
        width="100%",
        height=height,
    )


def _band(share: Share, middle: float, kind: str, start: float) -> Markup:
    return element(
        "rect",
        x=along(share.low, start),
        y=middle - 5,
        width=span(share.low, share.high, start),
        height=10,
        rx=5,
        class_=f"band {kind}",
    )


def _interval(share: Share) -> str:
    return f"95 % {percent(share.low)} to {percent(share.high)}, n = {share.n:,}"


_SIDE = 240
_LEFT, _TOP, _BOTTOM = 34, 8, 34
_LARGEST = 14
"""Radius of the largest dot; the axes keep this distance from the figure's edge."""


def reliability(method: str, bins: Sequence[tuple[int, int, float]], most: int = 0) -> Markup:
    """Accuracy over confidence; the area of a dot is the bin's number of images.

    Args:
        method: Its id.
        bins: Images, right ones and sum of confidences, of equal bins of confidence.
        most: Images of the largest dot of all figures beside each other; 0 for that of this one.
    """
    filled = [(n, right / n, total / n) for n, right, total in bins if n]
    most = most or max((n for n, *_ in filled), default=1)
    ticks = [
        mark
        for share in (0.0, 0.5, 1.0)
        for mark in (
            element("text", f"{100 * share:.0f}", x=_x(share), y=_TOP + _SIDE + 15,
                    text_anchor="middle", class_="tick"),
            element("text", f"{100 * share:.0f}", x=_LEFT - 7, y=_y(share) + 4,
                    text_anchor="end", class_="tick"),
            element("line", x1=_x(0), x2=_x(1), y1=_y(share), y2=_y(share), class_="grid"),
            element("line", x1=_x(share), x2=_x(share), y1=_y(0), y2=_y(1), class_="grid"),
        )
    ]  # fmt: skip
    gaps = [
        element("line", x1=_x(sure), x2=_x(sure), y1=_y(sure), y2=_y(right), class_="miss")
        for _, right, sure in filled
    ]
    dots = [
        element("circle", cx=_x(sure), cy=_y(right), r=_LARGEST * (n / most) ** 0.5, class_="now")
        for n, right, sure in filled
    ]
    parts = [f"{percent(sure)} sure, {percent(right)} right ({n:,})" for n, right, sure in filled]
    return drawing(
        f"Calibration of {method}: " + "; ".join(parts),
        *ticks,
        element("line", x1=_x(0), y1=_y(0), x2=_x(1), y2=_y(1), class_="ideal"),
        *gaps,
        *dots,
        element("text", "confidence, %", x=_x(0.5), y=_TOP + _SIDE + 30, text_anchor="middle",
                class_="axis"),
        element("text", "right, %", x=_x(0) + 6, y=_y(1) + 14, class_="axis"),
        class_="square",
        viewBox=f"0 0 {_LEFT + _SIDE + 10} {_TOP + _SIDE + _BOTTOM}",
    )  # fmt: skip


def _x(share: float) -> float:
    return _LEFT + _LARGEST + (_SIDE - 2 * _LARGEST) * share


def _y(share: float) -> float:
    return _TOP + _LARGEST + (_SIDE - 2 * _LARGEST) * (1 - share)


_TREND = 150
_EDGE = 13


@dataclass(frozen=True)
class Level:
    """A number with the ends of its interval."""

    value: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> Self:
        """A number without an interval."""
        return cls(value, value, value)


def trend(
    name: str,
    series: Sequence[tuple[str, Share | Level | None]],
    low: float = 0.0,
    high: float = 1.0,
    number: bool = False,
) -> Markup:
    """A share over the nights of a series, with its intervals; nights without images are gaps.

    Args:
        name: Of the group.
        series: Name and share of every night, in order.
        low: Where the axis begins.
        high: Where it ends.
        number: True if these are numbers of images rather than shares.
    """

    def y(share: float) -> float:
        return 14 + (_TREND - 40) * (high - share) / (high - low)

    def tick(value: float) -> str:
        return f"{value:,.0f}" if number else f"{100 * value:.0f} %"

    def told(value: float) -> str:
        return f"{value:,.0f}" if number else percent(value)

    step = (100 - 2 * _EDGE) / max(1, len(series) - 1)
    places = [f"{_EDGE + step * i:.2f}%" for i in range(len(series))]
    known = [(at, share) for at, (_, share) in zip(places, series, strict=True) if share]
    drawn = []
    for share in (low, (low + high) / 2, high):
        drawn += [
            element("line", x1="0%", x2="100%", y1=y(share), y2=y(share), class_="grid"),
            element("text", tick(share), x=0, y=y(share) - 3, class_="tick"),
        ]
    for at, one in known:
        if one.low < one.high:
            drawn.append(element("line", x1=at, x2=at, y1=y(one.low), y2=y(one.high), class_="bar"))
    for (at, one), (then, other) in pairwise(known):
        ends: dict[str, str | float] = {"x1": at, "x2": then}
        ends |= {"y1": y(one.value), "y2": y(other.value)}
        drawn.append(element("line", **ends, class_="way"))
    drawn += [element("circle", cx=at, cy=y(one.value), r=3.5, class_="now") for at, one in known]
    for night, at, anchor in ((series[0][0], "0%", "start"), (series[-1][0], "100%", "end")):
        place = {"x": at, "y": f"{_TREND - 6}", "text_anchor": anchor}
        drawn.append(element("text", escape(night), **place, class_="tick"))
    parts = [f"{night} {told(one.value)}" for night, one in series if one]
    title = f"{name} over {len(series)} nights: " + ", ".join(parts)
    return drawing(title, *drawn, class_="trend", width="100%", height=_TREND)


def shares_bar(parts: Sequence[tuple[str, float]]) -> Markup:
    """Parts of a whole, side by side."""
    left, rects = 0.0, []
    for number, (_, share) in enumerate(parts):
        wide = f"{100 * share:.2f}%"
        rects.append(element("rect", x=f"{100 * left:.2f}%", width=wide, height=14,
                             class_=f"part{number}"))  # fmt: skip
        left += share
    title = "; ".join(f"{name} {percent(share)}" for name, share in parts)
    return drawing(title, *rects, class_="parts", width="100%", height=14)
