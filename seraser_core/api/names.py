"""Classes, labels and attributes as they are given."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

from seraser_core.errors import ConfigError


def class_names(classes: object) -> list[str]:
    """Return the names of the classes.

    Raises:
        ConfigError: They are not at least two texts.
    """
    remedy = 'name at least two classes, as ["a camel", "a deer"]'
    classes = _plain(classes)
    if isinstance(classes, str | Mapping) or not isinstance(classes, Iterable):
        raise ConfigError("classes", repr(classes), remedy)
    names = list(classes)
    if len(names) < 2:
        raise ConfigError("classes", names, remedy)
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ConfigError("classes", repr(name), "every class needs a name, as text")
    return names


def label_indices(labels: object, classes: list[str], n: int) -> list[int | None]:
    """Return the index of the class of every image, None where unknown.

    Raises:
        ConfigError: They are not as many as the images, or one is no class.
    """
    values = _one_each("labels", labels, n)
    indices: list[int | None] = []
    for value in values:
        is_name = isinstance(value, str) and value in classes
        index = classes.index(value) if is_name else _as_index(value)
        if value is not None and (index is None or not 0 <= index < len(classes)):
            raise ConfigError(
                "labels",
                repr(value),
                f"give the name of a class or its index, 0 to {len(classes) - 1}; None if unknown",
            )
        indices.append(index)
    return indices


def attribute_indices(attributes: object, n: int) -> tuple[list[int | None], list[str]]:
    """Return the index of the attribute of every image, None where unknown, and their names.

    Raises:
        ConfigError: They are not as many as the images, or one is neither text nor number.
    """
    values = _one_each("attributes", attributes, n)
    for value in values:
        if value is not None and not isinstance(value, str) and _as_index(value) is None:
            raise ConfigError("attributes", repr(value), "give texts or whole numbers, or None")
    known = {value for value in values if value is not None}
    if all(not isinstance(value, str) for value in known):
        ordered = sorted(known)
    else:
        ordered = sorted(known, key=str)
    place = {value: index for index, value in enumerate(ordered)}
    return [place.get(value) for value in values], [str(value) for value in ordered]


def _one_each(argument: str, values: object, n: int) -> list[Any]:
    if values is None:
        return [None] * n
    values = _plain(values)
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise ConfigError(argument, repr(values), "give a list with one value per image")
    listed = [None if _is_nan(value) else value for value in values]
    if len(listed) != n:
        raise ConfigError(
            argument, f"{len(listed)} for {n} images", "give one per image, None where unknown"
        )
    return listed


def _plain(values: object) -> object:
    """Arrays, tensors and columns of tables as lists of Python's own values."""
    return values.tolist() if hasattr(values, "tolist") else values


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and value != value


def _as_index(value: object) -> int | None:
    try:
        return None if isinstance(value, str | bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return int(value) if isinstance(value, float) and value.is_integer() else None
