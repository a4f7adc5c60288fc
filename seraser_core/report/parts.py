"""Tables and figures of the page, cut to what a page can show."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from markupsafe import Markup

from seraser_core.display import Column, count, percent
from seraser_core.report.facts import GroupEffect, Share
from seraser_core.report.figures import reliability, trend
from seraser_core.results.disagreements import beside_each_other
from seraser_core.results.failed_pictures import FailedPicture, by_code
from seraser_core.results.sums import MethodSums

MOST_ROWS = 200
"""Rows of a table of the page; a data set may have thousands of classes."""
_MOST_GROUPS = 20
_MOST_DISAGREEMENTS = 20
_MOST_MATRIX = 12
_MOST_PAIRS = 15
_MOST_TRENDS = 12
_MOST_NIGHTS = 60
_SHADES = 9
_STARTS = (0.0, 0.2, 0.4, 0.6, 0.8)
"""Beginnings of an axis of shares; its quarters are whole percentages."""
_AGAINST = ("changed", "fixed", "broken", "mcnemar_p")
"""Columns that compare a method with zero-shot."""


@dataclass(frozen=True)
class Table:
    """A table as text.

    Attributes:
        name: What it shows, for people who do not see it.
        columns: Headings.
        numeric: Column by column, whether it holds numbers.
        rows: Cells.
        file: Name of the file with all rows, where some are not shown; else empty.
        total: Rows of that file.
        minor: Column by column, whether paper leaves it out.
    """

    name: str
    columns: Sequence[str]
    numeric: Sequence[bool]
    rows: Sequence[Sequence[str]]
    file: str = ""
    total: int = 0
    minor: Sequence[bool] = ()

    @property
    def classes(self) -> list[str]:
        """Column by column, its classes in the style sheet."""
        minor = self.minor or [False] * len(self.columns)
        pairs = zip(self.numeric, minor, strict=True)
        return [" ".join(["n"] * number + ["minor"] * less) for number, less in pairs]


@dataclass(frozen=True)
class Confusion:
    """Confusion of the classes under a method.

    Attributes:
        method: Its id.
        classes: Names of the classes of rows and columns; empty if there are too many.
        rows: Images and shade, from 0 to 9, of every label and prediction.
        pairs: Label, prediction, images: the most frequent mistakes, where there are many classes.
    """

    method: str
    classes: Sequence[str]
    rows: Sequence[Sequence[tuple[int, int]]]
    pairs: Sequence[tuple[str, str, int]]


def make_table(
    name: str,
    table: pl.DataFrame,
    columns: Sequence[Column],
    hidden: Sequence[str] = (),
    file: str = "",
    total: int = 0,
    main: Collection[str] = (),
) -> Table:
    """Columns and cells as text, without `hidden` ones and those that are empty throughout.

    Args:
        name: What it shows.
        table: Its rows.
        columns: In order.
        hidden: Names of columns to leave out.
        file: Name of the file with all rows.
        total: Rows of that file.
        main: Names of the columns that paper shows; none for all.
    """
    filled = [
        column for column in columns if column.name not in hidden and table[column.name].count()
    ]
    return Table(
        name,
        [column.heading for column in filled],
        [table.schema[c.name].is_numeric() or c.name.endswith("_95") for c in filled],
        [[c.text(row[c.name]) or "–" for c in filled] for row in table.to_dicts()],
        file if total > table.height else "",
        total,
        [bool(main) and column.name not in main for column in filled],
    )


def said_once(summary: pl.DataFrame, groups: pl.DataFrame, plain: str) -> pl.DataFrame:
    """The table ``summary`` as the page shows it: with intervals, and nothing said twice.

    Args:
        summary: The table.
        groups: The table ``groups``.
        plain: Id of the method that the others are compared with, which has no changes.
    """
    counted = groups.filter(~pl.col("small")).group_by("method")
    equal = counted.agg(pl.col("accuracy").n_unique() == 1).filter("accuracy")["method"]
    of_all, untouched = pl.col("method").is_in(equal.to_list()), pl.col("method") == plain
    rows = summary.to_dicts()
    return summary.with_columns(
        pl.Series("average_95", [_ends(_wilson(r["accuracy"], r["n"])) for r in rows], pl.String),
        pl.Series(
            "worst_95",
            [_ends((r["worst_group_low"], r["worst_group_high"])) for r in rows],
            pl.String,
        ),
        pl.when(~of_all).then("worst_group").alias("worst_group"),
        *(pl.when(~untouched).then(name).alias(name) for name in _AGAINST),
    )


def _wilson(accuracy: float | None, n: int) -> tuple[float | None, float | None]:
    share = _share(accuracy, n)
    return (share.low, share.high) if share else (None, None)


def _ends(ends: tuple[float | None, float | None]) -> str | None:
    low, high = ends
    return None if low is None or high is None else f"{100 * low:.1f}–{percent(high)}"


def silent(summary: pl.DataFrame) -> list[str]:
    """Columns of the table ``summary`` that say nothing beside the others."""
    found = [] if summary["errors"].sum() else ["errors"]
    if (summary["n"] == summary["images"] - summary["errors"]).all():
        found.append("n")
    known = summary.select("accuracy", "group_mean").drop_nulls()
    if known.height and ((known["accuracy"] - known["group_mean"]).abs() < 1e-9).all():
        found.append("group_mean")
    return found


def worst_rows(table: pl.DataFrame, key: list[str], value: str) -> pl.DataFrame:
    """The rows of the classes or groups with the least value under any method, not too many."""
    if table.height <= MOST_ROWS:
        return table
    least = table.group_by(key).agg(pl.col(value).min(), rows=pl.len())
    least = least.sort(value, *key, nulls_last=True)
    chosen = least.filter(pl.col("rows").cum_sum() <= MOST_ROWS).select(key)
    return table.join(chosen, on=key, how="semi", maintain_order="left")


def shown_groups(groups: Sequence[GroupEffect]) -> tuple[Sequence[GroupEffect], int]:
    """The worst groups, and how many more there are."""
    return groups[:_MOST_GROUPS], max(0, len(groups) - _MOST_GROUPS)


def axis_start(groups: Sequence[GroupEffect]) -> float:
    """Where the axis of the groups begins: at 0, or nearer to groups that are all high."""
    least = min((min(g.before.low, g.after.low) for g in groups), default=0.0)
    return max(start for start in _STARTS if start <= least)


def disagreement_table(table: pl.DataFrame | None) -> Table | None:
    """The images on which methods disagree most; None if there are none."""
    if table is None or not table.height:
        return None
    columns, rows = beside_each_other(table, _MOST_DISAGREEMENTS)
    cells = [[row.get(name, "") for name in columns] for row in rows]
    name = "Images on which the methods disagree most"
    return Table(name, columns, [False] * len(columns), cells, total=table.height)


def calibrations(sums: Mapping[str, MethodSums], methods: Sequence[str]) -> list[dict[str, Any]]:
    """Diagram and expected calibration error of each method whose confidences are probabilities."""
    found = []
    known = {m: sums[m].figures()["calibration"] for m in methods if sums[m].probabilistic}
    most = max((n for bins in known.values() for n, *_ in bins), default=0)
    for method, bins in known.items():
        n = sum(images for images, *_ in bins)
        if n:
            gap = sum(abs(right - total) for _, right, total in bins) / n
            sure = sum(total - right for _, right, total in bins) / n
            drawn = reliability(method, bins, most)
            found.append({"method": method, "figure": drawn, "ece": gap, "over": sure, "n": n})
    return found


def confusions(
    sums: Mapping[str, MethodSums], methods: Sequence[str], classes: Sequence[str]
) -> list[Confusion]:
    """Confusions of the classes, one per method."""
    return [
        _confusion(method, sums[method].confusion, classes)
        for method in methods
        if sums[method].confusion
    ]


def _confusion(method: str, counts: Mapping[str, int], classes: Sequence[str]) -> Confusion:
    by_pair = {tuple(map(int, key.split())): images for key, images in counts.items()}
    if len(classes) <= _MOST_MATRIX:
        places = range(len(classes))
        rows = [[by_pair.get((label, said), 0) for said in places] for label in places]
        shaded = [[(n, round(_SHADES * n / max(1, sum(row)))) for n in row] for row in rows]
        return Confusion(method, classes, shaded, ())
    wrong = [(n, *pair) for pair, n in by_pair.items() if pair[0] != pair[1]]
    wrong.sort(key=lambda one: (-one[0], one[1:]))
    most = [(classes[label], classes[said], n) for n, label, said in wrong[:_MOST_PAIRS]]
    return Confusion(method, (), (), most)


def trends(
    nights: pl.DataFrame | None, groups: pl.DataFrame | None, method: str
) -> list[tuple[str, Markup]]:
    """Name and figure of the average and of the worst groups over the nights of a series.

    Args:
        nights: The table ``nights``.
        groups: The table ``night_groups``.
        method: The method that is shown.
    """
    if nights is None:
        return []
    of_method = nights.filter(pl.col("method") == method).tail(_MOST_NIGHTS)
    names = of_method["night"].to_list()
    if len(names) < 2 or not of_method["n"].sum():
        return []
    shares = [("Average (pooled)", _by_night(of_method))]
    if groups is not None:
        mine = groups.filter(pl.col("method") == method)
        key = ["label", "attribute", "group"]
        right = (pl.col("accuracy") * pl.col("n")).sum() / pl.col("n").sum()
        worst = mine.group_by(key).agg(right.alias("mean")).sort("mean", *key).head(_MOST_TRENDS)
        for label, attribute, name in worst.select(key).iter_rows():
            of_group = mine.filter(pl.col("label") == label, pl.col("attribute") == attribute)
            shares.append((name, _by_night(of_group)))
    known = [share for _, one in shares for share in one.values() if share]
    low = math.floor(10 * min(share.low for share in known)) / 10
    high = math.ceil(10 * max(share.high for share in known)) / 10
    return [
        (name, trend(name, [(f"night {n}", one.get(n)) for n in names], low, high))
        for name, one in shares
    ]


def _by_night(rows: pl.DataFrame) -> dict[int, Share | None]:
    return {row["night"]: _share(row["accuracy"], row["n"]) for row in rows.to_dicts()}


def _share(accuracy: float | None, n: int) -> Share | None:
    return Share(round(accuracy * n), n) if accuracy is not None and n else None


@dataclass(frozen=True)
class Fault:
    """Images without a prediction that have one error code.

    Attributes:
        code: The code.
        images: How many, under each method if these differ.
        pictures: Some of them.
    """

    code: str
    images: str
    pictures: Sequence[FailedPicture]


def faults(
    errors: Mapping[str, Mapping[str, int]], methods: int, pictures: Sequence[FailedPicture]
) -> list[Fault]:
    """The error codes, the most frequent first.

    Args:
        errors: Method -> code -> images, of methods that have errors.
        methods: Number of all methods.
        pictures: Some of them.
    """
    counts: dict[str, dict[str, int]] = {}
    for method, codes in errors.items():
        for code, images in codes.items():
            counts.setdefault(code, {})[method] = images
    shown, found = by_code(pictures), []
    for code, of in sorted(counts.items(), key=lambda one: (-max(one[1].values()), one[0])):
        alike = len(of) == methods and len({*of.values()}) == 1
        words = (f"{count(images, 'image')} under {name}" for name, images in of.items())
        told = count(max(of.values()), "image") if alike else ", ".join(words)
        found.append(Fault(code, told, shown.get(code, ())))
    return found


def times(status: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Name and share of the wall time of what it went to; they add up to 1."""
    seconds = status.get("seconds")
    if not seconds:
        return []
    wall = seconds["wall"]
    named = [
        ("model", seconds["model"]),
        ("loading the model", seconds["load"]),
        ("waiting for pictures", seconds["data_wait"]),
    ]
    rest = wall - sum(value for _, value in named)
    return [(name, value / wall) for name, value in [*named, ("everything else", max(0, rest))]]
