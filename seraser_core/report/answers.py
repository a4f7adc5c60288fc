"""Answers of a run without labels: how they change over nights, and by a method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from markupsafe import Markup

from seraser_core.report.facts import Share
from seraser_core.report.figures import Level, trend

_MOST_NIGHTS = 60
_MOST_CLASSES = 8
Levels = Mapping[int, Share | Level]
"""Night -> what is drawn of it."""
_WIDE = 0.2
"""Widest range of shares whose axis ends at multiples of 2 %; others end at those of 10 %."""


@dataclass(frozen=True)
class Shift:
    """A class as the answer of zero-shot and of a method.

    Attributes:
        name: Of the class.
        before: Images that zero-shot takes for it.
        after: Images that the method takes for it.
    """

    name: str
    before: Share
    after: Share


def largest_shifts(rows: Sequence[Mapping[str, Any]], plain: str, method: str) -> list[Shift]:
    """The classes whose shares differ most between zero-shot and a method, the largest shift first.

    Args:
        rows: Of the table ``answers``.
        plain: Id of zero-shot.
        method: Id of the method.
    """
    found = {(row["method"], row["prediction"]): row for row in rows}
    totals = {row["method"]: row["n"] for row in rows}
    names = {row["prediction"]: row["prediction_name"] for row in rows}
    if plain not in totals or method not in totals:
        return []

    def share(of: str, prediction: int) -> Share:
        row = found.get((of, prediction))
        return Share(row["images"] if row else 0, totals[of])

    shifts = [Shift(names[p], share(plain, p), share(method, p)) for p in sorted(names)]
    shifts.sort(key=lambda one: -abs(one.after.value - one.before.value))
    return [one for one in shifts if one.after.value != one.before.value][:_MOST_CLASSES]


def answer_trends(
    nights: pl.DataFrame | None, answers: pl.DataFrame | None, method: str
) -> list[tuple[str, Markup]]:
    """Name and figure of what is known without labels over the nights of a series.

    Args:
        nights: The table ``nights``.
        answers: The table ``night_answers``.
        method: The method that is shown.
    """
    if nights is None or answers is None:
        return []
    rows = nights.filter(pl.col("method") == method).tail(_MOST_NIGHTS).to_dicts()
    if len(rows) < 2:
        return []
    ok = {row["night"]: row["images"] - row["errors"] for row in rows}
    images = {row["night"]: Level.exact(row["images"]) for row in rows}
    changed = {row["night"]: Share(row["changed"], n) for row in rows if (n := ok[row["night"]])}
    failed = {row["night"]: Share(row["errors"], row["images"]) for row in rows}
    sure = {
        row["night"]: Level.exact(row["mean_confidence"])
        for row in rows
        if row["mean_confidence"] is not None
    }
    mine = answers.filter(pl.col("method") == method, pl.col("night").is_in(list(ok)))
    classes = _most_shifted(mine, ok)
    ends = _ends([of for _, of in classes])
    series: list[tuple[str, Levels, tuple[float, float]]] = [
        ("Images", images, (0, _above(images))),
        ("Other answer than zero_shot", changed, _ends([changed])),
        ("No prediction", failed, _ends([failed])),
        ("Mean confidence", sure, _ends([sure])),
        *((name, of, ends) for name, of in classes),
    ]
    return [
        (name, trend(name, [(f"night {n}", of.get(n)) for n in ok], *axis, number=of is images))
        for name, of, axis in series
        if of
    ]


def _most_shifted(
    answers: pl.DataFrame, ok: Mapping[int, int]
) -> list[tuple[str, dict[int, Share]]]:
    """The classes whose shares differ most between two nights, with the share of every night.

    Nights of which the classes were not counted are left out.
    """
    known = [night for night in ok if night in set(answers["night"])]
    found = []
    for (_, name), rows in answers.sort("prediction").group_by(
        ["prediction", "prediction_name"], maintain_order=True
    ):
        images = dict(rows.select("night", "images").iter_rows())
        found.append((f"Answered: {name}", {n: Share(images.get(n, 0), ok[n]) for n in known}))
    found.sort(key=lambda one: -_range([share.value for share in one[1].values()]))
    return found[:_MOST_CLASSES]


def _range(values: Sequence[float]) -> float:
    return max(values) - min(values)


def _ends(series: Sequence[Levels]) -> tuple[float, float]:
    """Ends of the axis of some shares."""
    known = [share for one in series for share in one.values()]
    low = min((share.low for share in known), default=0.0)
    high = max((share.high for share in known), default=1.0)
    steps = 10 if high - low > _WIDE else 50
    first = math.floor(steps * low)
    return first / steps, max(math.ceil(steps * high), first + 1) / steps


def _above(images: Mapping[int, Level]) -> float:
    """An even number that none of these exceeds, of one digit and zeros."""
    most = max(2, *(level.value for level in images.values()))
    unit = 10 ** (len(f"{most:.0f}") - 1)
    return float(next(k * unit for k in (2, 4, 6, 8, 10) if k * unit >= most))
