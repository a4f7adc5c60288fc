"""The page of a run or series: one self-contained HTML file that needs no script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import polars as pl
import yaml
from markupsafe import Markup, escape

from seraser_core.config.methods import method_options
from seraser_core.display import Column, count, percent, printable, sentence
from seraser_core.report import advice, figures, intro, parts, svg, verdict
from seraser_core.report.answers import answer_trends
from seraser_core.report.facts import Effect, Facts, read_facts
from seraser_core.report.papers import draw_groups
from seraser_core.report.pictures import make_gallery
from seraser_core.results.columns import (
    CLASSES,
    GROUPS,
    HEADLINE,
    METHODS,
    NIGHTS,
    Metric,
    Shown,
    shown_in,
)
from seraser_core.results.failed_pictures import FailedPicture
from seraser_core.results.published import PUBLISHED, beside_published, published_table
from seraser_core.results.records import RunRecord
from seraser_core.results.schema import TOP
from seraser_core.results.status import costs
from seraser_core.results.sums import MethodSums
from seraser_core.results.tables import no_probabilities_text, small_groups_text
from seraser_core.shortcuts.findings import Findings

_ON_PAPER = ("method", "accuracy", "worst_group_accuracy", "mcnemar_p", "nll", "brier", "ece")
_COMPARED = 4
"""Methods whose calibration and confusion are shown."""
_AGAINST = ("fixed", "broken", "mcnemar_p")
"""Columns of groups that compare a method with zero-shot, beside zero-shot's accuracy."""
_COSTS = ("seconds_per_image", "peak_mib")
_HIDDEN = ("label", "attribute")
_KINDS = {
    "broken": "Broken: right before, wrong after",
    "fixed": "Fixed: wrong before, right after",
    "wrong": "Still wrong",
    "changed": "Changed",
    "drawn": "Decided by the surroundings: the object alone is another class",
}


def make_report(
    run: RunRecord,
    tables: Mapping[str, pl.DataFrame],
    status: Mapping[str, Any],
    missing: int,
    sums: Mapping[str, MethodSums],
    findings: Findings | None = None,
    pictures: pl.DataFrame | None = None,
    failed: Sequence[FailedPicture] = (),
) -> dict[str, bytes]:
    """Make ``report.html`` and, for runs with groups, ``groups.svg`` and ``groups.png``.

    Args:
        run: run.json.
        tables: ``summary``, ``groups`` and ``classes``, in an audit ``disagreements``, of a series
            ``nights`` and ``night_groups``, and of some benchmark data sets ``headline``.
        status: Status of the run or series.
        missing: Shards that are not in the tables.
        sums: Method id -> sums over all shards.
        findings: Of the shortcut finder; None if there was no search.
        pictures: Rows of the sample that have pictures; None if there are none.
        failed: Pictures of images without a prediction.

    Returns:
        Name -> content of the files.
    """
    files = {}
    if tables["groups"].height:
        drawn = draw_groups(tables["groups"], tables["summary"]["method"].to_list())
        files = {f"groups.{ending}": content for ending, content in drawn.items()}
    facts = read_facts(run, tables, status, missing)
    content = {
        **_first_screen(facts, findings),
        **_evidence(facts, tables, sums, findings, pictures),
        **_tables(run, tables, status),
        **_making(run, status, files),
        "faults": parts.faults(status["errors"], len(run.methods), failed),
        "data_files": [
            *(f"{name}.parquet" for name in tables),
            *(["shortcuts.json"] if findings else []),
        ],
    }
    return files | {"report.html": render("page.html.jinja", **content)}


def _first_screen(facts: Facts, findings: Findings | None) -> dict[str, Any]:
    methods = method_options()
    return {
        "facts": facts,
        "run": facts.run,
        "about": intro.about(facts.run),
        "does": [(m.id, methods[m.name].summary()) for m in facts.run.methods if m.name in methods],
        "sentence": verdict.sentence(facts, findings),
        "doubts": verdict.doubts(facts),
        "assurance": verdict.assurance(facts),
        "one_seed": verdict.one_seed(facts),
        "tiles": verdict.tiles(facts, findings),
        "explained": intro.explained(facts),
        "better": intro.better(facts),
        "steps": advice.next_steps(facts, findings),
    }


def _evidence(
    facts: Facts,
    tables: Mapping[str, pl.DataFrame],
    sums: Mapping[str, MethodSums],
    findings: Findings | None,
    pictures: pl.DataFrame | None,
) -> dict[str, Any]:
    """Shortcuts, groups, pictures and what shows whether all that is true."""
    run, main = facts.run, facts.main
    names = {method.id: method.name for method in run.methods}
    plain = [name for name in run.method_ids if names[name] == "zero_shot"][:1]
    first = [*plain, *([main.method] if main else [])]
    compared = [*first, *(name for name in run.method_ids if name not in first)][:_COMPARED]
    shown, more = parts.shown_groups(main.groups if main else facts.zero_shot_groups)
    start = parts.axis_start(shown)
    trended = main.method if main else (compared or [""])[0]
    return {
        "findings": findings,
        "groups": shown,
        "groups_start": start,
        "groups_scale": svg.scale(start),
        "more_groups": more,
        "gallery": make_gallery(pictures, run.classes, run.attributes, findings),
        "kinds": _KINDS,
        "of_kind": _totals(main),
        "calibrations": parts.calibrations(sums, compared),
        "confusions": parts.confusions(sums, compared, run.classes),
        "trends": _trends(tables, trended),
        "trended": trended,
        "disagreements": parts.disagreement_table(tables.get("disagreements")),
    }


def _trends(tables: Mapping[str, pl.DataFrame], method: str) -> list[tuple[str, Markup]]:
    """Accuracies over the nights of a series; without labels, what is known of its answers."""
    nights = tables.get("nights")
    answers = tables.get("night_answers")
    return parts.trends(nights, tables.get("night_groups"), method) or answer_trends(
        nights, answers, method
    )


def _totals(main: Effect | None) -> dict[str, int]:
    """Images of each kind in the whole run, where they are known."""
    if main is None:
        return {}
    if not main.after.n:
        return {"changed": main.changed.hits}
    wrong = main.after.n - main.after.hits - main.broken
    return {"broken": main.broken, "fixed": main.fixed, "wrong": wrong}


def _tables(
    run: RunRecord, tables: Mapping[str, pl.DataFrame], status: Mapping[str, Any]
) -> dict[str, Any]:
    # The label of every image is among the five likeliest classes where there are no more.
    hidden = [*_HIDDEN, *(["top5"] if len(run.classes) <= TOP else [])]
    small = small_groups_text(tables["summary"])
    lacking = no_probabilities_text(tables["summary"])
    hidden += [] if small else ["small", "small_groups"]
    known = {column.name: column for column in _computed(METHODS)}
    brief: list[Column] = list(shown_in(Shown.SUMMARY, METHODS))
    brief = [known[column.name] for column in brief]
    brief += (paid := [column for column in METHODS if column.name in _COSTS])
    for name, column in (
        ("accuracy", Column("average_95", words="95 % interval")),
        ("worst_group_accuracy", Column("worst_95", words="95 % interval, worst group")),
    ):
        place = next((i for i, one in enumerate(brief) if one.name == name), None)
        if place is not None:
            brief.insert(place + 1, column)
    plain = next((m.id for m in run.methods if m.name == "zero_shot"), "")
    summary = parts.said_once(tables["summary"], tables["groups"], plain)
    silent = [*hidden, *parts.silent(summary)]
    of_methods = [costs(status, method) for method in summary["method"]]
    kinds = {column.name: column.kind for column in paid}
    summary = summary.hstack(pl.DataFrame(of_methods, schema=kinds))
    nights = tables.get("nights")
    groups = tables["groups"].to_dicts()
    beside = [("", "", one) for one in beside_published(run, tables["summary"].to_dicts(), groups)]
    cut = {
        "classes": parts.worst_rows(tables["classes"], ["label"], "recall"),
        "groups": parts.worst_rows(tables["groups"], ["label", "attribute"], "accuracy"),
    }
    itself = pl.col("method") == plain
    cut["groups"] = cut["groups"].with_columns(
        pl.when(~itself).then(name).alias(name) for name in ("zero_shot_accuracy", *_AGAINST)
    )
    return {
        "small_groups": sentence(small) if small else "",
        "no_probabilities": sentence(lacking) if lacking else "",
        "brief": parts.make_table("Methods", summary, brief, silent),
        "full": parts.make_table(
            "All figures of all methods",
            summary,
            _computed(METHODS),
            silent,
            main=_ON_PAPER,
        ),
        "headline": None
        if "headline" not in tables
        else parts.make_table("Headline", tables["headline"], HEADLINE),
        "published": parts.make_table(
            "Published figures", published_table(beside), PUBLISHED, ("dataset", "model")
        ),
        "group_table": parts.make_table(
            "Groups", cut["groups"], _computed(GROUPS), hidden, "groups", tables["groups"].height
        ),
        "class_table": parts.make_table(
            "Classes", cut["classes"], CLASSES, hidden, "classes", tables["classes"].height
        ),
        "night_table": None
        if nights is None
        else parts.make_table(
            "Nights", nights.tail(parts.MOST_ROWS), NIGHTS, (), "nights", nights.height
        ),
    }


def _computed(columns: Sequence[Metric[Any]]) -> list[Metric[Any]]:
    """The columns that a run computes; some stand in a list twice."""
    return [column for column in columns if column.of]


def _making(
    run: RunRecord, status: Mapping[str, Any], files: Mapping[str, bytes]
) -> dict[str, Any]:
    parted = parts.times(status)
    return {
        "status": status,
        "config": yaml.safe_dump(run.config.document(), sort_keys=False, allow_unicode=True),
        "times": parted,
        "times_bar": figures.shares_bar(parted),
        "figure_files": sorted(files),
    }


def render(template: str, **content: Any) -> bytes:
    """Render a page with its style sheet and script inside."""
    script = _text("page.js")
    mark = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    inside = {
        "style": Markup(_text("style.css")),  # noqa: S704, both are our own
        "script": Markup(script),  # noqa: S704
        "script_hash": mark,
        "figures": figures,
        "scale": svg.scale(),
    }
    return environment().get_template(template).render(**content, **inside).encode()


@cache
def _text(name: str) -> str:
    return resources.files("seraser_core.report").joinpath("templates", name).read_text("utf-8")


@cache
def environment() -> jinja2.Environment:
    """Templates of the page; what they show of the data is text, never markup."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("seraser_core.report"),
        autoescape=True,
        finalize=_finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"percent": percent, "ticks": _ticks, "number": lambda n: f"{n:,}"}
    made.filters["unbroken"] = _unbroken
    made.globals |= {"count": count}
    return made


def _finalize(value: Any) -> Any:
    """Value as the page shows it: a text of the data has no control characters."""
    return printable(value) if type(value) is str else value


def _unbroken(text: str) -> str:
    """A text whose numbers stay with their units."""
    for loose in (" %", "n = ", " → ", " / "):
        text = text.replace(loose, loose.replace(" ", "\u00a0"))
    return text


def _ticks(text: str) -> Markup:
    """A text of our own in which backticks stand round code."""
    pieces: Sequence[str] = printable(text).split("`")
    marked = (
        Markup("<code>{}</code>").format(piece) if i % 2 else escape(piece)
        for i, piece in enumerate(pieces)
    )
    return Markup("").join(marked)
