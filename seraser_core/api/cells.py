"""Output of notebook cells: fragments of HTML in the colours of the notebook."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from seraser_core.api.given import HASHED
from seraser_core.errors import SeraserError
from seraser_core.report.page import environment
from seraser_core.report.pictures import Item, make_item
from seraser_core.sources.decode import decode_image

if TYPE_CHECKING:
    from seraser_core.api.result import Result

MOST_BYTES = 300_000
"""Output of a cell: notebooks keep it in their file."""
_MOST_ITEMS, _MOST_MOVES, _SIDE = 12, 4, 128


def result_cell(result: Result) -> str:
    """Show predictions: what changed, what cannot be used, and pictures."""
    names = result.classes
    moved = Counter(
        (names[before], names[after])
        for before, after in zip(
            result.zero_shot_predictions[result.changed],
            result.predictions[result.changed],
            strict=True,
        )
    ).most_common()
    said, _, rest = result.sentence().partition(". ")
    items = [_item(result, int(index)) for index in _worth_showing(result)]
    return fitting(
        items,
        lambda shown: render(
            "result.html.jinja",
            result=result,
            said=f"{said.removesuffix('.')}.",
            accuracy=rest if rest.startswith("Accuracy") else "",
            moves=[(*pair, n) for pair, n in moved[:_MOST_MOVES]],
            more_moves=sum(n for _, n in moved[_MOST_MOVES:]),
            bad=result.errors.to_dicts(),
            shown=shown,
        ),
    )


def fitting(items: Sequence[Item], show: Callable[[Sequence[Item]], str]) -> str:
    """Show as many items, of the first ones, as fit into `MOST_BYTES`."""
    for count in range(len(items), 0, -1):
        html = show(items[:count])
        if len(html.encode()) <= MOST_BYTES:
            return html
    return show(())


def render(template: str, **content: Any) -> str:
    """Render the output of a cell; what it shows of the data is text, never markup."""
    return _environment().get_template(template).render(style=_style(), **content)


@cache
def _environment() -> jinja2.Environment:
    pages = environment()
    loaders = [jinja2.PackageLoader("seraser_core.api"), pages.loader]
    return pages.overlay(loader=jinja2.ChoiceLoader([one for one in loaders if one is not None]))


@cache
def _style() -> Markup:
    text = resources.files("seraser_core.api").joinpath("templates", "cell.css").read_text("utf-8")
    return Markup(text)  # noqa: S704, our own


def _worth_showing(result: Result) -> np.ndarray:
    """Return indices of every kind by turns, broken, fixed, wrong, changed, and then of others."""
    changed, known = result.changed, result.labels >= 0
    right = result.predictions == result.labels
    was_right = result.zero_shot_predictions == result.labels
    interesting = [
        changed & known & was_right,
        changed & known & right,
        known & ~right & ~was_right,
        changed & ~known,
    ]
    by_turns = [
        index
        for some in zip_longest(*(np.flatnonzero(result.ok & one) for one in interesting))
        for index in some
        if index is not None
    ]
    rest = np.setdiff1d(np.flatnonzero(result.ok), by_turns)
    return np.array([*by_turns, *rest], dtype=np.int64)[:_MOST_ITEMS]


def _item(result: Result, index: int) -> Item:
    row = result.row(index)
    if row["item_id"].startswith(HASHED):
        row["item_id"] = f"image {index}"  # which says more than the hash of its content
    if row["image_webp"] is None:
        row["image_webp"] = _thumbnail(result, index)
    return make_item(row, result.classes, result.run.attributes)


def _thumbnail(result: Result, index: int) -> bytes | None:
    """A small WebP of an image; None if it can no longer be read."""
    try:
        image = decode_image(result.images[index].read(result.limits), result.limits)
    except SeraserError:
        return None
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    image.save(data, "WEBP", quality=80)
    return data.getvalue()
