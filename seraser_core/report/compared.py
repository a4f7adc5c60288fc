"""The page of a comparison: several runs, their methods beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from seraser_core.display import Column, count, percent
from seraser_core.report import parts
from seraser_core.report.answers import Shift, largest_shifts
from seraser_core.report.facts import CLEAR, UNTOUCHED, Effect, Share, read_effect
from seraser_core.report.page import render
from seraser_core.report.verdict import Doubt, Tile
from seraser_core.results.columns import HEADLINES, METHODS, Shown, mean_rank_columns, shown_in
from seraser_core.results.published import PUBLISHED
from seraser_core.results.records import RunRecord


@dataclass(frozen=True)
class Change:
    """A method beside zero-shot, of a run without labels.

    Attributes:
        method: Its id.
        changed: Images with another answer than zero-shot's, of those with a prediction.
        failed: Images without a prediction.
        confidence: Mean confidence; None if it is not known.
        shifts: The classes whose shares change most.
    """

    method: str
    changed: Share
    failed: Share
    confidence: float | None
    shifts: Sequence[Shift]


@dataclass(frozen=True)
class Compared:
    """A run of a comparison, as its page shows it.

    Attributes:
        dataset: Name of its data set.
        model: Name of its model.
        run_id: Name of its run directory.
        url: Of its run directory.
        record: run.json.
        summary: The rows of its table ``summary``.
        groups: The rows of its table ``groups``; none if that is lost.
        answers: Those of its table ``answers``; none where there are labels, or if that is lost.
    """

    dataset: str
    model: str
    run_id: str
    url: str
    record: RunRecord
    summary: Sequence[Mapping[str, Any]]
    groups: Sequence[Mapping[str, Any]]
    answers: Sequence[Mapping[str, Any]] = ()

    @property
    def untouched(self) -> str:
        """Id of zero-shot; empty without it."""
        return next((one.id for one in self.record.methods if one.name == UNTOUCHED), "")

    @property
    def changes(self) -> list[Change]:
        """Changes by its methods, where there are no labels."""
        known = (row for row in self.summary if not row.get("n") and row.get("changed") is not None)
        changes = []
        for row in known:
            failed = Share(row.get("errors") or 0, row["images"])
            changed = Share(row["changed"], row["images"] - failed.hits)
            shifts = largest_shifts(self.answers, self.untouched, row["method"])
            if changed.hits or row["method"] != self.untouched:
                sure = row.get("mean_confidence")
                changes.append(Change(row["method"], changed, failed, sure, shifts))
        return changes

    @property
    def effects(self) -> list[Effect]:
        """The effects of its methods, where there are labels."""
        known = (row for row in self.summary if row.get("n") and row.get("fixed") is not None)
        effects = (read_effect(row, self.groups) for row in known)
        return [one for one in effects if one.changed.hits or one.method != self.untouched]


def make_comparison(
    name: str,
    runs: Sequence[Compared],
    table: pl.DataFrame,
    ranks: pl.DataFrame,
    headlines: pl.DataFrame,
    published: pl.DataFrame,
    small: str = "",
    no_probabilities: str = "",
) -> bytes:
    """Make the page of a comparison, self-contained.

    Args:
        name: Of the comparison.
        runs: In its order.
        table: One row per data set, model and method.
        ranks: Mean ranks of the methods over data sets and models.
        headlines: Those of the data sets that have one.
        published: Figures of the runs beside published ones.
        small: Which groups are left out of the worst group.
        no_probabilities: Which methods have no ECE, and why.
    """
    ranked = ranks.filter(pl.col("mean_rank_accuracy").is_not_null())
    wanted = Shown.COMPARISON_TEXT if table["accuracy"].count() else Shown.COMPARISON_DATA
    columns = [one for one in shown_in(wanted, METHODS) if one.name != "run_id"]
    return render(
        "comparison.html.jinja",
        name=name,
        runs=runs,
        sentence=sentence(ranked, len(runs)),
        doubts=[*_doubts(runs, small)],
        tiles=_tiles(runs, table, ranked),
        ranks=_table("Mean ranks", ranks, mean_rank_columns()) if ranked.height else None,
        table=_table("All runs and methods", table, columns),
        no_probabilities=no_probabilities,
        headlines=_table("Headlines", headlines, HEADLINES, "headlines")
        if headlines.height
        else None,
        published=_table("Published figures", published, PUBLISHED, "published")
        if published.height
        else None,
    )


def sentence(ranks: pl.DataFrame, runs: int) -> str:
    """Say which method is the best.

    Args:
        ranks: Those that are known.
        runs: Number of runs.
    """
    if not ranks.height:
        return f"{count(runs, 'run')} beside each other; without labels, no method can be ranked."
    pairs, average = _pairs(ranks), _best(ranks, "mean_rank_accuracy")
    over = f"Over {pairs} pairs of data set and model" if pairs > 1 else "On this data set"
    worst = _best(ranks, "mean_rank_worst_group")
    several = " and " in str(average)
    if worst == average:
        verb = "are" if several else "is"
        return f"{over}, {average} {verb} best, by the pooled average and in the worst group."
    end = f", and {worst} the best worst group" if worst else ""
    return f"{over}, {average} {'have' if several else 'has'} the best pooled average{end}."


def _pairs(ranks: pl.DataFrame) -> int:
    """Pairs of data set and model over which the ranks are."""
    return max(ranks["pairs"].to_list(), default=0)


def _best(ranks: pl.DataFrame, column: str) -> str | None:
    """The methods of the least mean rank."""
    known = ranks.filter(pl.col(column).is_not_null())
    if not known.height:
        return None
    best = known.filter(pl.col(column) == pl.col(column).min())["method"].to_list()
    return " and ".join([", ".join(best[:-1]), best[-1]] if len(best) > 1 else best)


def _doubts(runs: Sequence[Compared], small: str) -> list[Doubt]:
    doubts = []
    if random := [run.run_id for run in runs if run.record.random_weights]:
        text = f"The weights of {count(len(random), 'run')} are random: {', '.join(random[:3])}."
        doubts.append(Doubt(text, "Their figures say nothing about any model.", grave=True))
    for run in runs:
        failed = max((row.get("errors") or 0 for row in run.summary), default=0)
        if failed:
            images = max(row["images"] for row in run.summary)
            where = f"{run.dataset}, {run.model}"
            text = f"{where}: {failed:,} of {count(images, 'image')} have no prediction."
            doubts.append(Doubt(text, "They count in no figure."))
    return [*doubts, *([Doubt(small)] if small else [])]


def _tiles(runs: Sequence[Compared], table: pl.DataFrame, ranks: pl.DataFrame) -> list[Tile]:
    images = sum(max((row["images"] for row in run.summary), default=0) for run in runs)
    methods = count(table["method"].n_unique(), "method")
    tiles = [Tile("Runs", f"{len(runs):,}", f"{methods}, n = {images:,} images")]
    if not ranks.height:
        return [*tiles, *_audit_tiles(runs)]
    for title, column in (
        ("Best average (pooled)", "mean_rank_accuracy"),
        ("Best in the worst group", "mean_rank_worst_group"),
    ):
        best = _best(ranks, column)
        if best is None:
            tiles.append(Tile(title, "–", "no rank is known"))
            continue
        rank = min(ranks[column].drop_nulls().to_list())
        note = f"mean rank {rank:.2g}, n = {count(_pairs(ranks), 'pair')}"
        tiles.append(Tile(title, best, note))
    tested = table.filter(pl.col("mcnemar_p_holm") < CLEAR)
    better = tested.filter(pl.col("fixed") > pl.col("broken")).height
    note = f"after Holm's correction, of n = {table['mcnemar_p_holm'].count()} tests"
    value = f"+{better} / −{tested.height - better}"
    return [*tiles, Tile("Clearly better / worse", value, note)]


def _audit_tiles(runs: Sequence[Compared]) -> list[Tile]:
    """Tiles of runs without labels."""
    changes = [
        (one, f"{one.method}, {run.dataset}, {run.model}")
        for run in runs
        for one in run.changes
        if one.changed.n
    ]
    if not changes:
        return []
    changes.sort(key=lambda pair: pair[0].changed.value)
    tiles = [
        Tile(title, percent(one.changed.value), f"{where}: {_interval(one.changed)}")
        for title, (one, where) in (
            ("Most answers changed", changes[-1]),
            ("Fewest answers changed", changes[0]),
        )
    ]
    worst, where = max(changes, key=lambda pair: pair[0].failed.value)
    note = f"at most, {where}: {_interval(worst.failed)}"
    return [*tiles, Tile("No prediction", percent(worst.failed.value), note)]


def _interval(share: Share) -> str:
    return f"95 % {percent(share.low)} to {percent(share.high)}, n = {share.n:,}"


def _table(
    name: str, table: pl.DataFrame, columns: Sequence[Column], file: str = "comparison"
) -> parts.Table:
    shown = table.head(parts.MOST_ROWS)
    return parts.make_table(name, shown, columns, file=file, total=table.height)
