"""Inline SVG: elements, and the axis of shares that all figures have in common."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

from seraser_core.display import printable

MARGIN = 2.5
"""Per cent of a strip's width on both sides of its axis, for the dots at 0 and 100 %."""
_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


def element(name: str, *children: str, **attributes: str | float) -> Markup:
    """An element; an underscore in the name of an attribute is a hyphen, one at its end is none."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
    )
    inside = Markup("").join(children)
    return Markup(f"<{name}{written}>{inside}</{name}>")  # noqa: S704, both are escaped


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def drawing(title: str, *children: str, **attributes: str | float) -> Markup:
    """An ``svg`` that says what it shows."""
    named = element("title", escape(printable(title)))
    return element("svg", named, *children, role="img", **attributes)


def along(share: float, start: float = 0.0) -> str:
    """Place of a share on a strip's axis, which begins at `start`, in per cent of its width."""
    place = (share - start) / (1 - start)
    return f"{MARGIN + (100 - 2 * MARGIN) * min(1.0, max(0.0, place)):.2f}%"


def span(low: float, high: float, start: float = 0.0) -> str:
    """Width of an interval on a strip, in per cent of its width."""
    return f"{(100 - 2 * MARGIN) * max(0.0, high - low) / (1 - start):.2f}%"


def grid(height: float) -> list[Markup]:
    """Lines at the quarters of a strip."""
    return [
        element("line", x1=along(x), x2=along(x), y1=0, y2=height, class_="grid") for x in _QUARTERS
    ]


def scale(start: float = 0.0) -> Markup:
    """The numbers of a strip's axis, which begins at `start`."""
    anchors = ("start", "middle", "middle", "middle", "end")
    ends = ("0%", along(0.25), along(0.5), along(0.75), "100%")
    numbers: Iterable[Markup] = (
        element(
            "text",
            f"{100 * (start + (1 - start) * x):.0f} %",
            x=at,
            y=11,
            text_anchor=anchor,
            class_="tick",
        )
        for x, at, anchor in zip(_QUARTERS, ends, anchors, strict=True)
    )
    return element("svg", *numbers, class_="scale", height=14, width="100%", aria_hidden="true")
