"""The report of a run: one self-contained HTML page, and its figure as PNG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import jinja2
import polars as pl

from seraser_core.display import percent, printable, sentence
from seraser_core.results.columns import CLASSES, GROUPS, METHODS, NIGHTS, Metric
from seraser_core.results.disagreements import beside_each_other
from seraser_core.results.records import RunRecord
from seraser_core.results.schema import TOP
from seraser_core.results.tables import small_groups_text

_MOST_GROUPS = 12
_MOST_DISAGREEMENTS = 20
_MOST_ROWS = 1000
"""Rows of a table of the page; a data set may have thousands of classes."""
_INCHES_PER_BAR = 0.17
_COLOURS = ("#9aa5b1", "#1f6feb", "#e08a1e", "#2e9e6b", "#a855c7", "#d1495b")
_HIDDEN = ("label", "attribute")


def make_report(
    run: RunRecord,
    tables: dict[str, pl.DataFrame],
    status: dict[str, Any],
    missing: int,
) -> dict[str, bytes]:
    """``report.html`` and, for runs with groups, ``groups.png``.

    Args:
        run: run.json.
        tables: ``summary``, ``groups`` and ``classes``, and of a series ``nights``.
        status: Status of the run or series.
        missing: Shards that are not in the tables.
    """
    svg, files = "", {}
    if tables["groups"].height:
        drawn = draw_groups(tables["groups"], tables["summary"]["method"].to_list())
        svg = drawn["svg"].decode()
        files["groups.png"] = drawn["png"]
    # The label of every image is among the five likeliest classes where there are no more.
    hidden = [*_HIDDEN, *(["top5"] if len(run.classes) <= TOP else [])]
    small = small_groups_text(tables["summary"])
    cut = {
        "classes": _worst(tables["classes"], ["label"], "recall"),
        "groups": _worst(tables["groups"], ["label", "attribute"], "accuracy"),
    }
    nights = tables.get("nights")
    if nights is not None:
        cut["nights"] = nights.tail(_MOST_ROWS)
    hidden += [] if small else ["small", "small_groups"]
    page = _environment().get_template("report.html.jinja")
    html = page.render(
        run=run,
        status=status,
        missing=missing,
        figure=svg[svg.find("<svg") :],
        hidden_groups=max(0, tables["groups"].n_unique(["label", "attribute"]) - _MOST_GROUPS),
        tables={
            "summary": _shown(tables["summary"], METHODS, hidden),
            "groups": _shown(cut["groups"], GROUPS, hidden),
            "classes": _shown(cut["classes"], CLASSES, hidden),
            "nights": None if nights is None else _shown(cut["nights"], NIGHTS, ()),
        },
        disagreements=_disagreements(tables.get("disagreements")),
        cut={name: tables[name].height > part.height for name, part in cut.items()},
        small_groups=sentence(small) if small else "",
        labelled=tables["summary"]["accuracy"].count() > 0,
        times=_times(status),
    )
    return files | {"report.html": html.encode()}


def _disagreements(table: pl.DataFrame | None) -> dict[str, Any]:
    """The first of them as a table, and how many there are in the file."""
    if table is None or not table.height:
        return {}
    columns, rows = beside_each_other(table, _MOST_DISAGREEMENTS)
    return {
        "columns": columns,
        "numeric": [False] * len(columns),
        "rows": [[row.get(name, "") for name in columns] for row in rows],
        "shown": len(rows),
        "all": table.height,
    }


def _worst(table: pl.DataFrame, key: list[str], value: str) -> pl.DataFrame:
    """The rows of the classes or groups with the least value under any method, not too many."""
    if table.height <= _MOST_ROWS:
        return table
    least = table.group_by(key).agg(pl.col(value).min(), rows=pl.len())
    least = least.sort(value, *key, nulls_last=True)
    chosen = least.filter(pl.col("rows").cum_sum() <= _MOST_ROWS).select(key)
    return table.join(chosen, on=key, how="semi", maintain_order="left")


def draw_groups(groups: pl.DataFrame, methods: list[str]) -> dict[str, bytes]:
    """Accuracy of every method in every group, with 95 % intervals, as ``png`` and ``svg``.

    Of many groups, those with the least zero-shot accuracy are shown.
    """
    # Not pyplot: it has state for the whole process and looks for a display.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    key = ("label", "attribute")  # names may coincide
    shown = (
        groups.unique(key, maintain_order=True)
        .sort("zero_shot_accuracy", *key)
        .head(_MOST_GROUPS)
        .select(*key, "group")
        .rows()
    )
    height = 1.1 + _INCHES_PER_BAR * len(shown) * (len(methods) + 1.2)
    figure = Figure(figsize=(8.4, height), layout="constrained")
    axes = figure.add_subplot()
    for place, method in enumerate(methods):
        of_method = groups.filter(pl.col("method") == method).to_dicts()
        rows = {(row["label"], row["attribute"]): row for row in of_method}
        drawn = [(i, rows[tuple(k)]) for i, (*k, _) in enumerate(shown) if tuple(k) in rows]
        at = [i + (place - (len(methods) - 1) / 2) * 0.8 / len(methods) for i, _ in drawn]
        accuracy = [row["accuracy"] for _, row in drawn]
        whiskers = [
            [max(0.0, row["accuracy"] - row["low"]) for _, row in drawn],
            [max(0.0, row["high"] - row["accuracy"]) for _, row in drawn],
        ]
        axes.barh(
            at,
            accuracy,
            height=0.8 / len(methods),
            xerr=whiskers,
            label=method,
            color=_COLOURS[place % len(_COLOURS)],
            error_kw={"ecolor": "#3d4650", "elinewidth": 1, "capsize": 2},
        )
        for y, value, row in zip(at, accuracy, drawn, strict=True):
            end = min(0.995, row[1]["high"]) + 0.012
            axes.text(end, y, percent(value), va="center", fontsize=8, color="#3d4650")
    # A dollar would begin a formula.
    names = [printable(name).replace("$", r"\$") for *_, name in shown]
    axes.set_yticks(range(len(shown)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlabel("accuracy, with 95 % interval")
    axes.grid(axis="x", color="#e3e7eb")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper left", ncols=min(4, len(methods)), frameon=False)
    result = {}
    # Ids and dates in the file are fixed, so that equal results give equal reports.
    with rc_context({"svg.hashsalt": "seraser", "svg.fonttype": "path"}), warnings.catch_warnings():
        # A sign that the font lacks is shown as a box.
        warnings.filterwarnings("ignore", r"(?s)Glyph .* missing|Matplotlib currently does not")
        for kind, options in (("svg", {"metadata": {"Date": None}}), ("png", {"dpi": 160})):
            content = io.BytesIO()
            figure.savefig(content, format=kind, **options)
            result[kind] = content.getvalue()
    return result


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("seraser_core.results", "."),
        autoescape=True,
        finalize=_finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalize(value: Any) -> Any:
    """Value as the page shows it: a text of the data has no control characters."""
    return printable(value) if type(value) is str else value


def _shown(
    table: pl.DataFrame, columns: Sequence[Metric[Any]], hidden: Sequence[str]
) -> dict[str, Any]:
    """Columns and cells as text, without `hidden` ones and those that are empty throughout."""
    filled = [
        column
        for column in columns
        if column.of and column.name not in hidden and table[column.name].count()
    ]
    return {
        "columns": [column.heading for column in filled],
        "numeric": [table.schema[column.name].is_numeric() for column in filled],
        "rows": [[c.text(row[c.name]) for c in filled] for row in table.to_dicts()],
    }


def _times(status: dict[str, Any]) -> list[tuple[str, float]]:
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
