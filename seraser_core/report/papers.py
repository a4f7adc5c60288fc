"""Figures for papers, as SVG and PNG."""

from __future__ import annotations

import io
import warnings

import polars as pl

from seraser_core.display import percent, printable

_MOST_GROUPS = 12
_INCHES_PER_BAR = 0.17
_COLOURS = ("#9aa5b1", "#2f54d6", "#0b7a5b", "#c2620c", "#a855c7", "#d1495b")


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
    # Text stays text.
    with rc_context({"svg.hashsalt": "seraser", "svg.fonttype": "none"}), warnings.catch_warnings():
        # A sign that the font lacks is shown as a box.
        warnings.filterwarnings("ignore", r"(?s)Glyph .* missing|Matplotlib currently does not")
        for kind, options in (("svg", {"metadata": {"Date": None}}), ("png", {"dpi": 160})):
            content = io.BytesIO()
            figure.savefig(content, format=kind, **options)
            figure.set_layout_engine("none")  # it is laid out, which takes as long as drawing
            result[kind] = content.getvalue()
    return result
