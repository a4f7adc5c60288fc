"""The headline of a run over a benchmark data set, from the sums of its methods."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from seraser_core.results.breakdown import Group, MethodResult, class_counts
from seraser_core.results.records import RunRecord
from seraser_core.results.significance import wilson
from seraser_core.sources.benchmarks.headline import Drop, Gap, Headline, Misled
from seraser_core.sources.benchmarks.registry import BENCHMARKS


@dataclass(frozen=True)
class HeadlineFigure:
    """A figure of a headline.

    Attributes:
        method: Id of the method.
        figure: Its name.
        n: Images that it is made of.
        value: The figure.
        low: Lower end of its 95 % interval; None where there is none.
        high: Upper end of it.
    """

    method: str
    figure: str
    n: int
    value: float
    low: float | None = None
    high: float | None = None


def headline_figures(run: RunRecord, results: Iterable[MethodResult]) -> Iterator[HeadlineFigure]:
    """Yield the figures of every method; none for data sets without a headline.

    Args:
        run: run.json.
        results: Of its methods.
    """
    headline = headline_of(run)
    names = {method.id: method.name for method in run.methods}
    for result in results if headline is not None else ():
        if isinstance(headline, Misled):
            yield from _misled(headline, run, result)
        elif isinstance(headline, Drop) and names[result.method] == "background":
            yield from _drop(headline, result)
        elif isinstance(headline, Gap) and {headline.one, headline.other} <= {*run.attributes}:
            yield from _gap(headline, run, result)


def headline_of(run: RunRecord) -> Headline | None:
    """Return the headline of a run's data set, if it has one."""
    dataset = run.config.dataset
    known = BENCHMARKS.get(dataset["name"]) if dataset.get("format") == "benchmark" else None
    return known.headline if known else None


def _misled(headline: Misled, run: RunRecord, result: MethodResult) -> Iterator[HeadlineFigure]:
    if not result.sums.labelled:
        return
    share = _share(result.method, headline.name, result.sums.correct, result.sums.labelled)
    yield share
    classes = [one for one in class_counts(result, run.classes) if one.n]
    shares = [one.hits / one.n for one in classes]
    yield HeadlineFigure(
        result.method, f"{headline.name} (class mean)", share.n, math.fsum(shares) / len(shares)
    )


def _drop(headline: Drop, result: MethodResult) -> Iterator[HeadlineFigure]:
    """Yield zero-shot's accuracies on both, and their difference, on the same images."""
    sums, name = result.sums, result.method
    if not sums.labelled:
        return
    whole = _share(name, "whole image", sums.correct - sums.fixed + sums.broken, sums.labelled)
    without = _share(name, "without the object", sums.correct, sums.labelled)
    yield from (whole, without)
    yield HeadlineFigure(name, headline.name, whole.n, whole.value - without.value)


def _gap(headline: Gap, run: RunRecord, result: MethodResult) -> Iterator[HeadlineFigure]:
    """Yield the accuracies of both sides, and their difference: pooled, and as a class mean.

    The interval of the pooled one is Newcombe's, from Wilson's of both sides. The mean is over the
    classes that have images on both sides.
    """
    sides = [
        [group for group in result.groups if group.attribute == run.attributes.index(name)]
        for name in (headline.one, headline.other)
    ]
    if not all(sides):
        return
    one, other = (
        _share(result.method, name, sum(g.correct for g in groups), sum(g.n for g in groups))
        for name, groups in zip((headline.one, headline.other), sides, strict=True)
    )
    yield from (one, other)
    below, above = _distance(one, other), _distance(other, one)
    gap = one.value - other.value
    yield HeadlineFigure(
        result.method, headline.name, one.n + other.n, gap, gap - below, gap + above
    )
    yield from _class_mean(result.method, headline.name, *sides)


def _distance(fewer: HeadlineFigure, more: HeadlineFigure) -> float:
    """Distance to the end of Newcombe's interval where `fewer` is at its low end."""
    low = fewer.value - (fewer.low or 0.0)
    high = (1.0 if more.high is None else more.high) - more.value
    return math.hypot(low, high)


def _class_mean(
    method: str, name: str, one: Sequence[Group], other: Sequence[Group]
) -> Iterator[HeadlineFigure]:
    first, second = ({group.label: group for group in groups} for groups in (one, other))
    both = [label for label in first if label in second]
    if both:
        gaps = [first[label].accuracy - second[label].accuracy for label in both]
        n = sum(first[label].n + second[label].n for label in both)
        yield HeadlineFigure(method, f"{name} (class mean)", n, math.fsum(gaps) / len(gaps))


def _share(method: str, name: str, hits: int, n: int) -> HeadlineFigure:
    return HeadlineFigure(method, name, n, hits / n, *wilson(hits, n))
