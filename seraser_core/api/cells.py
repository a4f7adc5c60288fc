"""Output of notebook cells: fragments of HTML in the colours of the notebook."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TypeVar

import jinja2
import numpy as np
from markupsafe import Markup

from seraser_core.api.thumbnails import thumbnail
from seraser_core.report.page import environment
from seraser_core.report.pictures import Gallery, Item, make_gallery, make_item

if TYPE_CHECKING:
    from seraser_core.api.found import Found
    from seraser_core.api.result import Result

T = TypeVar("T")
MOST_BYTES = 300_000
"""Output of a cell: notebooks keep it in their file."""
_MOST_ITEMS, _MOST_MOVES = 12, 4


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


def found_cell(found: Found) -> str:
    """Show shortcuts as cards, with their examples."""
    run = found.run
    gallery = make_gallery(found.pictures, run.classes, run.attributes, found.findings)
    examples = [(number, item) for number, some in gallery.examples.items() for item in some]

    def show(shown: Sequence[tuple[int, Item]]) -> str:
        of = {number: [item for n, item in shown if n == number] for number, _ in shown}
        return render("found.html.jinja", findings=found.findings, gallery=Gallery({}, of))

    return fitting(examples, show)


def fitting(items: Sequence[T], show: Callable[[Sequence[T]], str]) -> str:
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
    row = result.row(index) | {"name": result.images[index].name(index)}
    if row["image_webp"] is None:
        row["image_webp"] = thumbnail(result.images[index], result.limits)
    return make_item(row, result.classes, result.run.attributes)
