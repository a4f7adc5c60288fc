"""The columns of all tables of results: one object each says what it is and where it is shown.

A new metric is one `Metric` in `METHODS`: report/summary.parquet and the report's page then have
the column, and so have the tables that it names. If it takes a sum that shards do not record yet,
that is a new field of `MethodSums`, which `counting` fills.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Flag, auto
from typing import TYPE_CHECKING, Generic, TypeVar

from seraser_core.display import Column
from seraser_core.results.significance import mcnemar
from seraser_core.results.sums import ONE, real

if TYPE_CHECKING:  # commands have these columns before they import Polars
    from seraser_core.results.breakdown import (
        Answer,
        ClassCounts,
        Group,
        MethodResult,
        NightGroup,
        NightResult,
    )
    from seraser_core.results.headlines import HeadlineFigure

T = TypeVar("T")
Value = str | int | float | bool | None


class Shown(Flag):
    """Places that show a column, beside the file of its table and the report's page.

    Attributes:
        NOWHERE: None of these.
        SUMMARY: The tables of `seraser run` and `seraser report`.
        COMPARE: The table of `seraser compare`.
        RUNS: The best method of a run in `seraser runs`.
        PREFECT: The artifacts of a flow run.
        COMPARISON_DATA: A comparison's .parquet and .csv.
        COMPARISON_TEXT: A comparison's .md and .tex.
        COMPARISON: All files of a comparison.
        EVERYWHERE: All of these.
    """

    NOWHERE = 0
    SUMMARY = auto()
    COMPARE = auto()
    RUNS = auto()
    PREFECT = auto()
    COMPARISON_DATA = auto()
    COMPARISON_TEXT = auto()
    COMPARISON = COMPARISON_DATA | COMPARISON_TEXT
    EVERYWHERE = SUMMARY | COMPARE | RUNS | PREFECT | COMPARISON


@dataclass(frozen=True)
class Metric(Column, Generic[T]):
    """A column with one value per method, group or class.

    Attributes:
        better: ``higher`` or ``lower``, where one is.
        shown: The tables that have it.
        of: Computes its value, None where it cannot be known. A column without it is in no file of
            a run: a comparison makes it, or it stands in the list twice, because tables differ in
            their order.
        ranks: The column by which methods of a data set and model are ranked in this one.
    """

    better: str | None = None
    shown: Shown = Shown.NOWHERE
    of: Callable[[T], Value] | None = None
    ranks: str | None = None


def _accuracy(result: MethodResult) -> float | None:
    return result.share(result.sums.correct)


def _worst(attribute: str) -> Callable[[MethodResult], Value]:
    """Return what reads an attribute of the worst group."""
    return lambda result: getattr(result.worst, attribute) if result.worst else None


def _small_groups(result: MethodResult) -> int | None:
    return sum(group.small for group in result.groups) if result.groups else None


def _adjusted(result: MethodResult) -> float | None:
    """Mean of the groups' accuracies, weighted by their images in the training split.

    None where these are not known, or training has images of a group that is not here.
    """
    known = {group.key: group.accuracy for group in result.groups}
    weights = {key: images for key, images in result.train_counts.items() if images}
    if not weights or not weights.keys() <= known.keys():
        return None
    return math.fsum(n * known[group] for group, n in weights.items()) / sum(weights.values())


def _group_mean(result: MethodResult) -> float | None:
    shares = [group.accuracy for group in result.groups]
    return math.fsum(shares) / len(shares) if shares else None


def _harmonic_mean(result: MethodResult) -> float | None:
    shares = [group.accuracy for group in result.groups]
    if not shares:
        return None
    return len(shares) / math.fsum(1 / share for share in shares) if min(shares) else 0.0


def _mean(name: str) -> Callable[[MethodResult], Value]:
    """Return what reads the mean of a sum of real numbers."""
    return lambda result: result.share(result.sums.figures()[name])


def _top5(result: MethodResult) -> float | None:
    """None without probabilities: votes do not rank the classes that have none."""
    return result.share(result.sums.top5) if result.sums.probabilistic else None


def _calibration_error(result: MethodResult) -> float | None:
    """Expected calibration error: mean gap of accuracy and confidence over the bins' images."""
    bins = result.sums.calibration
    if bins is None:
        return None
    return result.share(real(sum(abs(correct * ONE - total) for _, correct, total in bins)))


def _in_orders(pick: Callable[[Iterable[int]], int]) -> Callable[[MethodResult], Value]:
    """Return what reads the lowest or highest accuracy over other orders of the images."""
    return lambda m: m.share(pick(m.sums.in_orders)) if m.sums.in_orders else None


def _gap(result: MethodResult) -> float | None:
    average, worst = _accuracy(result), result.worst
    return None if average is None or worst is None else average - worst.accuracy


def _mcnemar(result: MethodResult) -> float | None:
    sums = result.sums
    return mcnemar(sums.fixed, sums.broken) if sums.labelled else None


_POOLED = "average (pooled)"
_COMPARED = Shown.COMPARISON | Shown.COMPARE
_TOLD = _COMPARED | Shown.SUMMARY


def _share(
    name: str,
    of: Callable[[T], Value] | None = None,
    shown: Shown = Shown.NOWHERE,
    words: str | None = None,
    better: str | None = "higher",
) -> Metric[T]:
    """Return a column of shares: people see percentages."""
    return Metric(name, float, words, percent=True, better=better, shown=shown, of=of)


METHODS: list[Metric[MethodResult]] = [
    Metric("dataset", shown=_COMPARED),
    Metric("model", shown=_COMPARED),
    Metric("method", shown=_TOLD | Shown.PREFECT, of=lambda m: m.method),
    Metric("run_id", shown=Shown.COMPARISON_DATA),
    Metric("images", int, shown=Shown.COMPARISON | Shown.SUMMARY, of=lambda m: m.sums.rows),
    Metric("errors", int, shown=_TOLD | Shown.PREFECT, of=lambda m: m.sums.rows - m.sums.ok),
    Metric("n", int, shown=Shown.PREFECT, of=lambda m: m.sums.labelled),
    _share("accuracy", _accuracy, Shown.EVERYWHERE, _POOLED),
    _share("adjusted_accuracy", _adjusted, Shown.EVERYWHERE, "average (adjusted)"),
    _share("group_mean", _group_mean, Shown.COMPARISON | Shown.PREFECT, "average (group mean)"),
    _share("ece", shown=_TOLD | Shown.PREFECT, better="lower"),
    _share("top5", _top5),
    Metric("worst_group", shown=Shown.PREFECT, of=_worst("name")),
    _share("worst_group_accuracy", _worst("accuracy"), Shown.EVERYWHERE),
    Metric("worst_group", shown=_TOLD),
    Metric("worst_group_n", int, of=_worst("n")),
    _share("worst_group_low", _worst("low"), Shown.COMPARISON),
    _share("worst_group_high", _worst("high"), Shown.COMPARISON),
    Metric("small_groups", int, "groups too small", shown=Shown.COMPARISON, of=_small_groups),
    _share("gap", _gap, Shown.COMPARISON | Shown.PREFECT, better="lower"),
    Metric(
        "changed",
        int,
        shown=Shown.SUMMARY | Shown.RUNS | Shown.COMPARISON_DATA,
        of=lambda m: m.sums.changed,
    ),
    Metric("fixed", int, shown=_TOLD, of=lambda m: m.sums.fixed if m.sums.labelled else None),
    Metric("broken", int, shown=_TOLD, of=lambda m: m.sums.broken if m.sums.labelled else None),
    Metric("mcnemar_p", float, shown=Shown.COMPARISON_DATA, of=_mcnemar),
    Metric("mcnemar_p_holm", float, shown=_COMPARED),
    _share("mean_confidence", lambda m: m.mean_confidence, Shown.COMPARISON_DATA, better=None),
    _share("harmonic_mean", _harmonic_mean, words="harmonic mean of groups"),
    Metric("nll", float, better="lower", of=_mean("nll")),
    Metric("brier", float, better="lower", of=_mean("brier")),
    _share("ece", _calibration_error, better="lower"),
    _share("orders_low", _in_orders(min), _TOLD, "lowest of other orders"),
    _share("orders_high", _in_orders(max), _TOLD, "highest of other orders"),
    Metric("seconds_per_image", float, better="lower", shown=_COMPARED),
    Metric("peak_mib", int, "peak GPU memory (MiB)", better="lower", shown=_COMPARED),
    Metric("rank_accuracy", float, f"rank of {_POOLED}", shown=Shown.COMPARISON, ranks="accuracy"),
    Metric("rank_worst_group", float, shown=Shown.COMPARISON, ranks="worst_group_accuracy"),
]
"""One row per method.

``n`` counts the labelled images that did not fail. Of three averages, ``accuracy`` is over these
(pooled), ``adjusted_accuracy`` over groups weighted by their images in the training split, and
``group_mean`` over groups, each alike, as ``harmonic_mean`` is. ``top5`` is the share of images
with their label among the five likeliest classes. ``worst_group_low`` and ``_high`` are Wilson's
95 % interval, ``gap`` is accuracy minus worst-group accuracy, and ``small_groups`` counts groups
too small to be the worst. ``changed`` counts images with another prediction than zero-shot's,
``mcnemar_p`` compares fixed with broken ones, ``mean_confidence`` is over all images with a
prediction, labelled or not, ``nll`` is in nats. ``orders_low`` and
``orders_high`` are the lowest and highest pooled average over other orders of the images, of
stateful methods that tried them. ``seconds_per_image`` and ``peak_mib`` are those of `costs`. What
cannot be known (no labels, no attributes, no GPU, scores that are no probabilities) is null.
"""

GROUPS: list[Metric[Group]] = [
    Metric("method", shown=Shown.SUMMARY | Shown.PREFECT, of=lambda g: g.method),
    Metric("group", shown=Shown.SUMMARY | Shown.PREFECT, of=lambda g: g.name),
    Metric("label", int, of=lambda g: g.label),
    Metric("attribute", int, of=lambda g: g.attribute),
    Metric("n", int, shown=Shown.SUMMARY | Shown.PREFECT, of=lambda g: g.n),
    Metric("small", bool, of=lambda g: g.small),
    _share("zero_shot_accuracy", shown=Shown.SUMMARY),
    _share("accuracy", lambda g: g.accuracy, Shown.SUMMARY | Shown.PREFECT),
    _share("low", lambda g: g.low, Shown.SUMMARY),
    _share("high", lambda g: g.high, Shown.SUMMARY),
    _share("zero_shot_accuracy", lambda g: g.zero_shot / g.n, Shown.PREFECT),
    Metric("fixed", int, of=lambda g: g.fixed),
    Metric("broken", int, of=lambda g: g.broken),
    Metric("mcnemar_p", float, of=lambda g: g.mcnemar_p),
]
"""One row per method and group: accuracy with Wilson's 95 % interval, and zero-shot's.

``mcnemar_p`` compares the group's fixed with its broken images, uncorrected; the three are null
where a shard was computed by an earlier version.
"""

CLASSES: list[Metric[ClassCounts]] = [
    Metric("method", of=lambda c: c.method),
    Metric("label", int, of=lambda c: c.label),
    Metric("label_name", of=lambda c: c.name),
    Metric("n", int, of=lambda c: c.n),
    _share("recall", lambda c: c.hits / c.n if c.n else None),
    Metric("predicted", int, of=lambda c: c.predicted),
    _share("precision", lambda c: c.hits / c.predicted if c.predicted else None),
]
"""One row per method and class that occurs: recall, and precision of its predictions."""

HEADLINE: list[Metric[HeadlineFigure]] = [
    Metric("method", shown=Shown.SUMMARY, of=lambda f: f.method),
    Metric("figure", shown=Shown.SUMMARY, of=lambda f: f.figure),
    Metric("n", int, shown=Shown.SUMMARY, of=lambda f: f.n),
    _share("value", lambda f: f.value, Shown.SUMMARY, better=None),
    _share("low", lambda f: f.low, Shown.SUMMARY, better=None),
    _share("high", lambda f: f.high, Shown.SUMMARY, better=None),
]
"""One row per method and figure of a benchmark data set's headline, see `sources.benchmarks`."""

HEADLINES: list[Column] = [Column("dataset"), Column("model"), *HEADLINE]
"""The columns of the headlines of a comparison's runs."""


def _new_groups(night: NightResult) -> int | None:
    known = night.new_groups is not None and night.result.groups
    return len(night.new_groups or ()) if known else None


_NIGHTLY = Shown.SUMMARY | Shown.PREFECT
NIGHTS: list[Metric[NightResult]] = [
    Metric("night", int, shown=_NIGHTLY, of=lambda n: n.night),
    Metric("planned", shown=_NIGHTLY, of=lambda n: n.run.created),
    Metric("run_id", of=lambda n: n.run.run_id),
    Metric("method", shown=_NIGHTLY, of=lambda n: n.result.method),
    Metric("images", int, shown=_NIGHTLY, of=lambda n: n.result.sums.rows),
    Metric("errors", int, shown=_NIGHTLY, of=lambda n: n.result.sums.rows - n.result.sums.ok),
    Metric("n", int, of=lambda n: n.result.sums.labelled),
    _share("accuracy", lambda n: _accuracy(n.result), _NIGHTLY, _POOLED),
    Metric("worst_group", shown=_NIGHTLY, of=lambda n: _worst("name")(n.result)),
    _share("worst_group_accuracy", lambda n: _worst("accuracy")(n.result), _NIGHTLY),
    Metric("changed", int, shown=_NIGHTLY, of=lambda n: n.result.sums.changed),
    _share("mean_confidence", lambda n: n.result.mean_confidence, better=None),
    Metric("new_groups", int, shown=_NIGHTLY, of=_new_groups),
    Metric("new_group_names", of=lambda n: "; ".join(n.new_groups or ()) or None),
]
"""One row per night of a series and method, of the images of that night alone.

``new_groups`` counts the groups that no night before had, and ``new_group_names`` are theirs; both
are null in the first night.
"""


NIGHT_GROUPS: list[Metric[NightGroup]] = [
    Metric("night", int, of=lambda g: g.night),
    Metric("method", of=lambda g: g.group.method),
    Metric("group", of=lambda g: g.group.name),
    Metric("label", int, of=lambda g: g.group.label),
    Metric("attribute", int, of=lambda g: g.group.attribute),
    Metric("n", int, of=lambda g: g.group.n),
    _share("accuracy", lambda g: g.group.accuracy),
    _share("low", lambda g: g.group.low),
    _share("high", lambda g: g.group.high),
]
"""One row per night of a series, method and group, of the images of that night alone."""


_ANSWERS: list[Metric[Answer]] = [
    Metric("method", of=lambda a: a.method),
    Metric("prediction", int, of=lambda a: a.prediction),
    Metric("prediction_name", of=lambda a: a.name),
    Metric("images", int, of=lambda a: a.images),
    Metric("n", int, of=lambda a: a.of),
    _share("share", lambda a: a.images / a.of, better=None),
    _share("low", lambda a: a.interval[0], better=None),
    _share("high", lambda a: a.interval[1], better=None),
]
ANSWERS: list[Metric[Answer]] = _ANSWERS
"""One row per method and class that it predicts: its share of the n images with a prediction, with
Wilson's 95 % interval. Where a shard was computed by an earlier version, there are none."""

NIGHT_ANSWERS: list[Metric[Answer]] = [Metric("night", int, of=lambda a: a.night), *_ANSWERS]
"""The same per night of a series, of the images of that night alone."""


def shown_in(place: Shown, columns: Sequence[Metric[T]]) -> list[Metric[T]]:
    """Return the columns that a table shows, in order."""
    return [column for column in columns if place in column.shown]


def mean_rank_columns() -> list[Column]:
    """Return the columns of mean ranks over data sets and models, one row per method."""
    ranks = [column for column in METHODS if column.ranks]
    means = (Column(f"mean_{rank.name}", float, f"mean {rank.heading}") for rank in ranks)
    return [Column("method"), Column("pairs", int), *means]
