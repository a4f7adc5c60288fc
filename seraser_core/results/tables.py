"""Tables for people, made from merged sums: one row per method, per group, per class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import polars as pl

from seraser_core.results.breakdown import (
    MethodResult,
    NightGroup,
    answers,
    class_counts,
    method_results,
    night_results,
)
from seraser_core.results.columns import (
    ANSWERS,
    CLASSES,
    GROUPS,
    HEADLINE,
    METHODS,
    NIGHT_ANSWERS,
    NIGHT_GROUPS,
    NIGHTS,
    Metric,
)
from seraser_core.results.headlines import headline_figures
from seraser_core.results.records import RunRecord
from seraser_core.results.sums import MethodSums
from seraser_core.sources.items import SMALL_GROUP

T = TypeVar("T")


def make_tables(sums: Mapping[str, MethodSums], run: RunRecord) -> dict[str, pl.DataFrame]:
    """Return ``summary``, ``groups`` and ``classes``, with the columns of `METHODS` and so on.

    Without labels, also ``answers``; of benchmark data sets that have one, ``headline``.

    Args:
        sums: Method id -> sums over all shards.
        run: run.json.
    """
    results = list(method_results(sums, run))
    classes = (counts for result in results for counts in class_counts(result, run.classes))
    tables = {
        "summary": _table(METHODS, results),
        "groups": _table(GROUPS, [group for result in results for group in result.groups]),
        "classes": _table(CLASSES, classes),
    }
    if figures := list(headline_figures(run, results)):
        tables["headline"] = _table(HEADLINE, figures)
    if _unlabelled(results):
        found = (answer for result in results for answer in answers(result, run.classes))
        tables["answers"] = _table(ANSWERS, found)
    return tables


def _unlabelled(results: Iterable[MethodResult]) -> bool:
    return not any(result.sums.labelled for result in results)


def make_nights(
    runs: Sequence[tuple[RunRecord, Mapping[str, MethodSums]]],
) -> dict[str, pl.DataFrame]:
    """Return ``nights`` and ``night_groups`` of a series, with the columns of `NIGHTS` and so on.

    Without labels, also ``night_answers``.

    Args:
        runs: run.json and the sums of every run, in order; of one without any rows, none.
    """
    results = list(night_results(runs))
    groups = (NightGroup(one.night, group) for one in results for group in one.result.groups)
    tables = {"nights": _table(NIGHTS, results), "night_groups": _table(NIGHT_GROUPS, groups)}
    if _unlabelled(one.result for one in results):
        found = (a for one in results for a in answers(one.result, one.run.classes, one.night))
        tables["night_answers"] = _table(NIGHT_ANSWERS, found)
    return tables


def _table(columns: Sequence[Metric[T]], rows: Iterable[T]) -> pl.DataFrame:
    """One row per result, with the columns that have a value of their own."""
    computed = {column.name: (column.kind, column.of) for column in columns if column.of}
    values = [{name: of(row) for name, (_, of) in computed.items()} for row in rows]
    return pl.DataFrame(values, schema={name: kind for name, (kind, _) in computed.items()})


def no_probabilities_text(summary: pl.DataFrame) -> str | None:
    """Say why some methods have an accuracy and no ECE or NLL; None when none of them is so."""
    unknown = pl.col("accuracy").is_not_null() & pl.col("ece").is_null()
    lacking = summary.filter(unknown)["method"].unique(maintain_order=True).to_list()
    if not lacking:
        return None
    figures = "NLL, Brier score, ECE and top-5"
    why = "shares of votes are no probabilities"
    return f"{figures} are not given for {' and '.join(lacking)}: {why}"


def small_groups_text(summary: pl.DataFrame) -> str | None:
    """Say how many groups are left out of the worst group; None when none is."""
    small = int(str(summary["small_groups"].max() or 0))
    if not small:
        return None
    groups = f"{small:,} group{'' if small == 1 else 's'}"
    if summary["worst_group"].count():
        return f"left out of the worst group: {groups} of fewer than {SMALL_GROUP} images"
    return f"there is no worst group: of {groups}, none has {SMALL_GROUP} images"
