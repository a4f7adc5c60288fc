"""Inputs of columns: the sums of one method, of one of its groups, of one of its classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from seraser_core.results.records import RunRecord
from seraser_core.results.significance import mcnemar, wilson
from seraser_core.results.sums import MethodSums
from seraser_core.sources.items import SMALL_GROUP, group_key, group_name


@dataclass(frozen=True)
class Group:
    """The labelled images of a group under one method.

    Attributes:
        method: Id of the method.
        name: Of the group.
        label: Index of its class.
        attribute: Index of its attribute.
        n: Images.
        correct: Those that the method classifies rightly.
        zero_shot: Those that zero-shot classifies rightly.
        fixed: Those that the method alone classifies rightly; None if an earlier version did not
            count them.
    """

    method: str
    name: str
    label: int
    attribute: int
    n: int
    correct: int
    zero_shot: int
    fixed: int | None = None

    @property
    def key(self) -> str:
        """``"<label> <attribute>"``, its name in documents."""
        return group_key(self.label, self.attribute)

    @property
    def small(self) -> bool:
        """True if it has too few images to be the worst group."""
        return self.n < SMALL_GROUP

    @property
    def accuracy(self) -> float:
        """Share of the images that are classified rightly."""
        return self.correct / self.n

    @property
    def low(self) -> float:
        """Lower end of Wilson's 95 % interval of the accuracy."""
        return wilson(self.correct, self.n)[0]

    @property
    def high(self) -> float:
        """Upper end of it."""
        return wilson(self.correct, self.n)[1]

    @property
    def broken(self) -> int | None:
        """Images that zero-shot alone classifies rightly."""
        return None if self.fixed is None else self.zero_shot - self.correct + self.fixed

    @property
    def mcnemar_p(self) -> float | None:
        """McNemar's exact p of fixed against broken images."""
        if self.fixed is None or self.broken is None:
            return None
        return mcnemar(self.fixed, self.broken)


@dataclass(frozen=True)
class ClassCounts:
    """The labelled images of a class under one method.

    Attributes:
        method: Id of the method.
        label: Index of the class.
        name: Of the class.
        n: Images with this label.
        predicted: Images that the method takes for this class.
        hits: Images that are both.
    """

    method: str
    label: int
    name: str
    n: int
    predicted: int
    hits: int


@dataclass(frozen=True)
class Answer:
    """A class as an answer of one method.

    Attributes:
        method: Id of the method.
        prediction: Index of the class.
        name: Of the class.
        images: Images with this prediction.
        of: Images with any.
        night: Number of the night, in a series.
    """

    method: str
    prediction: int
    name: str
    images: int
    of: int
    night: int | None = None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share."""
        return wilson(self.images, self.of)


@dataclass(frozen=True)
class MethodResult:
    """The figures of one method in one run.

    Attributes:
        method: Its id.
        sums: Over all shards.
        groups: Its groups by label and attribute; none without labels or attributes.
        train_counts: ``"<label> <attribute>"`` -> images of the training split, where known.
    """

    method: str
    sums: MethodSums
    groups: tuple[Group, ...] = ()
    train_counts: Mapping[str, int] = field(default_factory=dict)

    def share(self, amount: float | None) -> float | None:
        """`amount` per image with a label that did not fail; None without any."""
        return amount / self.sums.labelled if amount is not None and self.sums.labelled else None

    @property
    def mean_confidence(self) -> float | None:
        """Mean confidence of all images with a prediction; None where it was not counted."""
        total, n = self.sums.figures()["confidence"], self.sums.ok
        return None if total is None or not n else total / n

    @cached_property
    def worst(self) -> Group | None:
        """The group of least accuracy among those that are not small."""
        large = (group for group in self.groups if not group.small)
        return min(large, key=lambda g: (g.accuracy, g.label, g.attribute), default=None)


@dataclass(frozen=True)
class NightResult:
    """The figures of one method in one night of a series.

    Attributes:
        night: Number of the night, from 0.
        run: Its run.json.
        result: Figures of the method in that run.
        new_groups: Groups that no earlier night had; None in the first, where all are new.
    """

    night: int
    run: RunRecord
    result: MethodResult
    new_groups: tuple[str, ...] | None


@dataclass(frozen=True)
class NightGroup:
    """A group under one method in one night of a series.

    Attributes:
        night: Number of the night, from 0.
        group: The group, of the images of that night alone.
    """

    night: int
    group: Group


def method_results(sums: Mapping[str, MethodSums], run: RunRecord) -> Iterator[MethodResult]:
    """Yield the results of a run's methods, in its order.

    Args:
        sums: Method id -> sums over all shards.
        run: run.json.
    """
    for name in run.method_ids:
        groups = tuple(_groups(name, sums[name], run))
        yield MethodResult(name, sums[name], groups, run.train_counts)


def _groups(method: str, sums: MethodSums, run: RunRecord) -> list[Group]:
    groups = []
    for key, counts in sums.groups.items():
        label, attribute = map(int, key.split())
        name = group_name(run.classes, run.attributes, label, attribute)
        fixed = (sums.fixed_by_group or {}).get(key)
        groups.append(Group(method, name, label, attribute, *counts, fixed))
    return sorted(groups, key=lambda group: (group.label, group.attribute))


def class_counts(result: MethodResult, classes: list[str]) -> Iterator[ClassCounts]:
    """Yield the counts of the classes that occur as a label or a prediction, by index.

    Args:
        result: Of a method.
        classes: Names of all classes.
    """
    labels, predictions, hits = Counter[int](), Counter[int](), Counter[int]()
    for key, images in result.sums.confusion.items():
        label, prediction = map(int, key.split())
        labels[label] += images
        predictions[prediction] += images
        if label == prediction:
            hits[label] += images
    for label in sorted({*labels, *predictions}):
        counts = labels[label], predictions[label], hits[label]
        yield ClassCounts(result.method, label, classes[label], *counts)


def answers(result: MethodResult, classes: list[str], night: int | None = None) -> Iterator[Answer]:
    """Yield the classes that a method predicts, by index; none where they were not counted.

    Args:
        result: Of the method.
        classes: Names of all classes.
        night: Number of the night, in a series.
    """
    counts = {int(key): images for key, images in (result.sums.predicted or {}).items()}
    for prediction in sorted(counts):
        of_class = prediction, classes[prediction], counts[prediction]
        yield Answer(result.method, *of_class, result.sums.ok, night)


def night_results(
    runs: Iterable[tuple[RunRecord, Mapping[str, MethodSums]]],
) -> Iterator[NightResult]:
    """Yield the results of the methods of every night, night by night.

    Args:
        runs: run.json and the sums of every run, in order; nights without any rows are left out.
    """
    seen: set[str] | None = None
    for night, (run, sums) in enumerate(runs):
        if not sums:
            continue
        results = list(method_results(sums, run))
        groups = {group.key: group.name for result in results for group in result.groups}
        new = None if seen is None else tuple(groups[k] for k in groups if k not in seen)
        seen = (seen or set()) | set(groups)
        for result in results:
            yield NightResult(night, run, result, new)
