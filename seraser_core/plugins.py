"""Plug-ins: additions to seraser from other Python packages, through entry points.

An installed distribution offers a method or a source under a name in a group of entry points. A
name that cannot be used is no obstacle to those who do not use it.
"""

from __future__ import annotations

import importlib.metadata
import pkgutil
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Any, Generic, TypeVar

from seraser_core.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """The reason why an offered name cannot be used.

    Attributes:
        problem: The reason, with the distribution and its entry point.
        remedy: Advice how to fix it.
    """

    problem: str
    remedy: str


@dataclass(frozen=True)
class Group(Generic[T]):
    """Objects that the names of one group stand for.

    Attributes:
        members: Name -> what it stands for: ours in their order, then those of other packages,
            sorted.
        faults: Name -> why it cannot be used.
        origins: Names of other packages -> their distribution and its version.
    """

    members: dict[str, T]
    faults: dict[str, Fault] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)


def load_group(group: str, ours: Mapping[str, T], check: Callable[[str, object], T]) -> Group[T]:
    """Load all that is offered in a group of entry points.

    Args:
        group: The group.
        ours: Offers of this package, by name.
        check: Given a name and what it stands for, returns the latter. It raises a TypeError that
            says what belongs in the group, where this does not.
    """
    loaded = Group(dict(ours))
    offers: defaultdict[str, list[EntryPoint]] = defaultdict(list)
    for point in sorted(importlib.metadata.entry_points(group=group), key=lambda p: p.name):
        offers[point.name].append(point)
    for name, points in offers.items():
        by = [*(["seraser itself"] if name in ours else []), *map(_told, points)]
        if len(by) > 1:
            loaded.members.pop(name, None)
            remedy = "uninstall all of them but one"
            loaded.faults[name] = Fault(f"{name!r} is offered by {' and by '.join(by)}", remedy)
            continue
        try:
            loaded.members[name] = check(name, points[0].load())
            loaded.origins[name] = _distribution(points[0])
        except (Exception, SystemExit) as error:  # other people's code may raise anything
            loaded.faults[name] = Fault(*_fault(by[0], _distribution(points[0]), error))
    return loaded


def resolve(place: str, base: type, field: str, origin: str | None) -> Any:
    """Import the class that implements what is offered.

    Args:
        place: Its location, as ``package.module:Class``.
        base: Class that it must be a subclass of.
        field: Option that asks for it, for the message.
        origin: Its distribution and version, where it is of another package.

    Raises:
        ConfigError: It is of another package, and cannot be imported or is something else.
    """
    try:
        offered = pkgutil.resolve_name(place)
        if not isinstance(offered, type) or not issubclass(offered, base):
            raise TypeError(f"{offered!r} is no subclass of {base.__module__}.{base.__name__}")
    except (Exception, SystemExit) as error:  # other people's code may raise anything
        if origin is None:
            raise
        raise ConfigError(field, *_fault(f"{place} of {origin}", origin, error)) from error
    return offered


def remedy_for(origin: str) -> str:
    """Say what to do about a fault of the distribution `origin`, a name and a version."""
    return f"repair, update or uninstall {origin.rpartition(' ')[0]}"


def _fault(what: str, origin: str, error: BaseException) -> tuple[str, str]:
    return (
        f"{what} cannot be used: {type(error).__name__}: {error}",
        remedy_for(origin),
    )


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"


def _told(point: EntryPoint) -> str:
    entry = f"{point.name} = {point.value} of {point.group}"
    return f"{_distribution(point)} (entry point {entry})"
