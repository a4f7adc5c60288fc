"""What other Python packages add to seraser, through entry points.

An installed distribution offers a method or a source under a name in a group of entry points. A
name that cannot be used is no obstacle to those who do not use it.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """Why a name that is offered cannot be used.

    Attributes:
        found: What is wrong, with the distribution and its entry point.
        remedy: What to do about it.
    """

    found: str
    remedy: str


@dataclass(frozen=True)
class Group(Generic[T]):
    """What the names of one group stand for.

    Attributes:
        members: Name -> what it stands for: ours in their order, then those of other packages,
            sorted.
        faults: Name -> why it cannot be used.
        origins: Names of other packages -> their distribution and its version.
    """

    members: dict[str, T] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)


def load_group(group: str, ours: Mapping[str, str], check: Callable[[str, object], T]) -> Group[T]:
    """Load all that is offered in a group of entry points.

    Args:
        group: The group.
        ours: Name -> ``package.module:object`` of what this package offers.
        check: Given a name and what it stands for, returns the latter.

            Raises:
                TypeError: It is nothing that belongs in the group; the message says what does.
    """
    loaded = Group[T]()
    offers = {name: [EntryPoint(name, value, group)] for name, value in ours.items()}
    for point in sorted(importlib.metadata.entry_points(group=group), key=lambda p: p.name):
        offers.setdefault(point.name, []).append(point)
    for name, (point, *others) in offers.items():
        if others:
            offered = " and by ".join(map(_told, (point, *others)))
            loaded.faults[name] = Fault(
                f"{name!r} is offered by {offered}", "uninstall all of them but one"
            )
            continue
        try:
            loaded.members[name] = check(name, point.load())
        except Exception as error:  # anything can go wrong in the code of others
            if point.dist is None:
                raise
            loaded.faults[name] = Fault(
                f"{_told(point)} cannot be used: {type(error).__name__}: {error}",
                f"repair, update or uninstall {point.dist.name}",
            )
            continue
        if point.dist is not None:
            loaded.origins[name] = f"{point.dist.name} {point.dist.version}"
    return loaded


def _told(point: EntryPoint) -> str:
    if point.dist is None:
        return "seraser itself"
    said = f"{point.dist.name} {point.dist.version}"
    return f"{said} (entry point {point.name} = {point.value} of {point.group})"
