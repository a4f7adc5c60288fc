"""Facts of a run that its report is made of: what each method changed, read from the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from seraser_core.results.records import RunRecord
from seraser_core.results.significance import mcnemar, wilson

UNTOUCHED = "zero_shot"
_ERASING = "seraser"
_PROBE = "background"
CLEAR = 0.05
"""A difference counts as clear if McNemar's p is below this."""


@dataclass(frozen=True)
class Share:
    """A share of n images, with Wilson's 95 % interval.

    Attributes:
        hits: Images that count.
        n: All of them.
    """

    hits: int
    n: int

    @property
    def value(self) -> float:
        """The share."""
        return self.hits / self.n if self.n else 0.0

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return wilson(self.hits, self.n)[0]

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return wilson(self.hits, self.n)[1]


@dataclass(frozen=True)
class GroupEffect:
    """A group under zero-shot and under a method.

    Attributes:
        name: Of the group.
        before: Images that zero-shot classifies rightly.
        after: Images that the method classifies rightly.
        small: True if it has too few images to be the worst group.
        fixed: Images that the method alone classifies rightly; None if they were not counted.
        broken: Images that zero-shot alone classifies rightly.
    """

    name: str
    before: Share
    after: Share
    small: bool
    fixed: int | None = None
    broken: int | None = None

    @property
    def change(self) -> str:
        """``gain`` or ``loss`` where it is clear, else nothing."""
        return clear_change(self.fixed, self.broken)


@dataclass(frozen=True)
class Effect:
    """A method beside zero-shot.

    Attributes:
        method: Its id.
        before: Images that zero-shot classifies rightly.
        after: Images that the method classifies rightly.
        fixed: Images that the method alone classifies rightly.
        broken: Images that zero-shot alone classifies rightly.
        p: McNemar's p of fixed against broken; None without labels.
        changed: Images with another class than zero-shot's, of those with a prediction.
        groups: Worst first, by the lower of both accuracies.
    """

    method: str
    before: Share
    after: Share
    fixed: int
    broken: int
    p: float | None
    changed: Share
    groups: tuple[GroupEffect, ...] = ()

    @property
    def change(self) -> str:
        """``gain`` or ``loss`` where it is clear, else nothing."""
        return clear_change(self.fixed, self.broken)

    @property
    def helps(self) -> bool:
        """True if more images are clearly fixed than broken."""
        return self.change == "gain"

    @property
    def harms(self) -> bool:
        """True if more images are clearly broken than fixed."""
        return self.change == "loss"

    @property
    def worst(self) -> tuple[GroupEffect, GroupEffect] | None:
        """The worst group under zero-shot, and that under the method; small ones do not count."""
        large = [group for group in self.groups if not group.small]
        if not large:
            return None
        return min(large, key=lambda g: g.before.value), min(large, key=lambda g: g.after.value)

    @property
    def worst_change(self) -> str:
        """Clear change of the worst group; nothing where another is the worst after than before."""
        if self.worst is None or self.worst[0].name != self.worst[1].name:
            return ""
        return self.worst[1].change

    @property
    def worst_names(self) -> list[str]:
        """The worst groups' names before and after; none where all groups are equal."""
        large = [group for group in self.groups if not group.small]
        names = []
        for rates in (
            {g.name: g.before.value for g in large},
            {g.name: g.after.value for g in large},
        ):
            if len(set(rates.values())) > 1:
                names.append(min(rates, key=rates.__getitem__))
        return list(dict.fromkeys(names))


@dataclass(frozen=True)
class Facts:
    """Facts of a run, or of a series.

    Attributes:
        run: run.json.
        url: Where the run is.
        images: Images that the tables count.
        total: Images that are planned.
        ok: Images with a prediction under every method.
        labelled: Images with a prediction and a label.
        effects: Of every method other than zero-shot, in their order.
        zero_shot: Images that zero-shot classifies rightly.
        zero_shot_groups: Groups under zero-shot, the worst first.
        missing: Shards that are not in the tables.
        shards: Shards that are planned.
        errors: Method -> error code -> images.
        doubts: What the pictures and foregrounds give reason to doubt.
        small_groups: Groups of too few images.
        masked: True if every image comes with a mask or box of its object.
        wall_s: Seconds of computing, where they are known.
    """

    run: RunRecord
    url: str
    images: int
    total: int
    ok: int
    labelled: int
    effects: tuple[Effect, ...]
    zero_shot: Share
    zero_shot_groups: tuple[GroupEffect, ...] = ()
    missing: int = 0
    shards: int = 0
    errors: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    doubts: Sequence[str] = ()
    small_groups: int = 0
    masked: bool = False

    @property
    def main(self) -> Effect | None:
        """The erasing method, else the first other remedy; None if there is none."""
        names = {method.id: method.name for method in self.run.methods}
        erasing = (e for e in self.effects if names.get(e.method, "").startswith(_ERASING))
        remedies = (e for e in self.effects if names.get(e.method) != _PROBE)
        return next(erasing, next(remedies, None))

    @property
    def worst(self) -> GroupEffect | None:
        """The worst group under zero-shot that is not small."""
        large = (group for group in self.zero_shot_groups if not group.small)
        return min(large, key=lambda group: group.before.value, default=None)

    @property
    def best(self) -> Effect | None:
        """The best method that helps: another than the main one only if it is clearly better."""
        main = self.main
        helping = [e for e in self.effects if e.helps]
        if main is None or not helping:
            return None
        better = [e for e in helping if e is not main and _clearly_better(e, main)]
        return max(better, key=lambda e: e.after.value, default=main if main.helps else None)

    def foreground_of(self, method: str) -> str:
        """Foreground that a method needs, such as ``mask``; empty if it needs none."""
        return next(
            (m.options.get("auxiliary", "") for m in self.run.methods if m.id == method), ""
        )


def _clearly_better(one: Effect, other: Effect) -> bool:
    """Return whether a method that helps is better than another, and its worst group no worse."""
    if one.after.low <= other.after.high:
        return not other.helps and one.after.value > other.after.value
    if one.worst is None or other.worst is None:
        return True
    return one.worst[1].after.value >= other.worst[1].after.value


def clear_change(fixed: int | None, broken: int | None) -> str:
    """Return ``gain`` or ``loss`` where McNemar's exact test tells them apart, else nothing."""
    if fixed is None or broken is None or mcnemar(fixed, broken) >= CLEAR:
        return ""
    return "gain" if fixed > broken else "loss"


def read_facts(
    run: RunRecord, tables: Mapping[str, pl.DataFrame], status: Mapping[str, Any], missing: int
) -> Facts:
    """Read the facts from the tables ``summary`` and ``groups``.

    Args:
        run: run.json.
        tables: Those of the run or series.
        status: Its status.
        missing: Shards that are not in the tables.
    """
    summary = tables["summary"].to_dicts()
    groups = tables["groups"].to_dicts()
    names = {method.id: method.name for method in run.methods}
    effects = [read_effect(row, groups) for row in summary]
    beside = tuple(e for e in effects if names.get(e.method, e.method) != UNTOUCHED)
    dataset = run.config.dataset
    return Facts(
        run=run,
        url=str(status.get("run", "")),
        images=max((row["images"] for row in summary), default=0),
        total=int(status["images"]["total"]),
        ok=min((row["images"] - row["errors"] for row in summary), default=0),
        labelled=max((row["n"] for row in summary), default=0),
        effects=beside,
        zero_shot=max((e.before for e in effects), key=lambda share: share.n, default=Share(0, 0)),
        zero_shot_groups=effects[0].groups if effects else (),
        missing=missing,
        shards=int(status["shards"]["total"]),
        errors=status.get("errors", {}),
        doubts=status.get("warnings", ()),
        small_groups=max((row["small_groups"] or 0 for row in summary), default=0),
        masked=any(dataset.get(name) for name in ("mask", "masks", "box")),
    )


def read_effect(row: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> Effect:
    """The effect of the method of a row of the table ``summary``.

    Args:
        row: The row.
        groups: Rows of the table ``groups``, of any methods.
    """
    n, fixed, broken = row["n"], row["fixed"] or 0, row["broken"] or 0
    right = _hits(row["accuracy"], n)
    return Effect(
        method=row["method"],
        before=Share(right - fixed + broken, n),
        after=Share(right, n),
        fixed=fixed,
        broken=broken,
        p=row["mcnemar_p"],
        changed=Share(row["changed"], row["images"] - row["errors"]),
        groups=_worst_first(group for group in groups if group["method"] == row["method"]),
    )


def _worst_first(rows: Any) -> tuple[GroupEffect, ...]:
    effects = [
        GroupEffect(
            row["group"],
            Share(_hits(row["zero_shot_accuracy"], row["n"]), row["n"]),
            Share(_hits(row["accuracy"], row["n"]), row["n"]),
            row["small"],
            row.get("fixed"),  # not in reports of earlier versions
            row.get("broken"),
        )
        for row in rows
    ]
    return tuple(sorted(effects, key=lambda g: min(g.before.value, g.after.value)))


def _hits(share: float | None, n: int) -> int:
    return round((share or 0.0) * n)
