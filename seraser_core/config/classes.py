"""Names of classes and attributes as people give them: lists, mappings and numbered names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from seraser_core.config.option_group import mistake
from seraser_core.config.yaml_files import as_yaml

Entry = str | tuple[str, str]
"""A name, or a label as the data has it and the name for prompts and tables."""
_NUMBER = re.compile(r"[0-9]{1,9}")
_SHOWN = 60


def entries(value: Any) -> list[Entry]:
    """Return one entry per class, index = label.

    Args:
        value: A list of names or of pairs; a mapping of labels to names, in its order; of numbers
            to names or pairs, or of names to numbers, in the order of the numbers. Numbers of names
            that are not 0 and those that follow it are labels, as 1 and 2 are.

    Raises:
        ValueError: It is none of these; the text is ``value; remedy``.
    """
    if isinstance(value, Mapping):
        named = _of_pairs(value.items())
    elif isinstance(value, list | tuple):
        pairs = [one for one in value if isinstance(one, list | tuple)]
        if pairs and len(pairs) < len(value):
            raise mistake(_show(value), "give names alone, or a label and a name for each")
        named = _of_pairs(map(_pair, pairs)) if pairs else list(map(_name, value))
    else:
        raise mistake(_show(value), "give a list, a mapping of labels to names, or a file")
    for kind, texts in (("label", labels_of(named)), ("name", names_of(named))):
        twice = [text for text, count in Counter(texts).items() if count > 1]
        if twice:
            both = zip(labels_of(named), texts, strict=True)
            of = [label for label, text in both if text == twice[0]]
            which = f" (of {of[0]!r} and {of[1]!r})" if of[0] != of[1] else ""
            raise mistake(f"{twice[:3]}{which} named more than once", f"{kind}s must differ")
    return named


def labels_of(named: Iterable[Entry]) -> list[str]:
    """Labels of the entries, as the data has them."""
    return [entry if isinstance(entry, str) else entry[0] for entry in named]


def names_of(named: Iterable[Entry]) -> list[str]:
    """Names of the entries, as prompts and results have them."""
    return [entry if isinstance(entry, str) else entry[1] for entry in named]


def are_labels(texts: Sequence[str]) -> bool:
    """Return whether texts are different numbers that cannot be the indices of as many classes."""
    if not texts or not all(map(_is_number, texts)):
        return False
    numbers = sorted(map(int, texts))
    return len(set(numbers)) == len(numbers) and numbers != list(range(len(numbers)))


def numbered_labels(named: Sequence[Entry]) -> list[str]:
    """Return the warning that the numbers of the names are labels; empty if they are not."""
    if not any(isinstance(entry, tuple) for entry in named) or not are_labels(labels_of(named)):
        return []
    label, name = labels_of(named)[0], names_of(named)[0]
    return [
        f"their numbers are not 0 to {len(named) - 1}, and so are the labels in the data: {label} "
        f"stands for {name!r}"
    ]


def _of_pairs(pairs: Iterable[tuple[Any, Any]]) -> list[Entry]:
    """Entries of labels and names; in the order of the labels, or names, where all are numbers."""
    pairs = [(_key(label), name) for label, name in pairs]
    if pairs and all(_is_number(label) for label, _ in pairs):
        if are_labels([label for label, _ in pairs]) and not any(
            isinstance(name, list | tuple) for _, name in pairs
        ):
            ordered = sorted(pairs, key=lambda pair: int(pair[0]))
            return [(label, _name(name)) for label, name in ordered]
        return _numbered(pairs)
    if pairs and all(_is_number(name) for _, name in pairs):
        return _numbered([(str(number), name) for name, number in pairs])
    return [(label, _name(name)) for label, name in pairs]


def _numbered(pairs: Sequence[tuple[str, Any]]) -> list[Entry]:
    """Entries of numbers and names or pairs, in the order of the numbers.

    Raises:
        ValueError: The numbers are not 0 and those that follow it, each once.
    """
    numbers = [int(number) for number, _ in pairs]
    twice = [number for number, count in Counter(numbers).items() if count > 1]
    if twice:
        raise mistake(f"the number {twice[0]} named more than once", "numbers must differ")
    if sorted(numbers) != list(range(len(numbers))):
        lacking = min(set(range(len(numbers))) - set(numbers))
        raise mistake(
            f"{len(numbers)} numbers from {min(numbers)} to {max(numbers)}, of which {lacking} is "
            "missing",
            f"number the classes from 0 to {len(numbers) - 1}, as the labels in the data",
        )
    values = [one for _, one in sorted(pairs, key=lambda pair: int(pair[0]))]
    if not any(isinstance(one, list | tuple) for one in values):
        return [_name(one) for one in values]
    labelled = [_pair(one) for one in values]
    if any(all(map(_is_number, part)) for part in zip(*labelled, strict=True)):
        raise mistake(_show(values[0]), "give each number a name, or a label and a name")
    return _of_pairs(labelled)


def _pair(value: Any) -> tuple[Any, Any]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise mistake(_show(value), "give each class one name, or a label and a name")
    return value[0], value[1]


def _key(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise mistake(_show(value), "write a label that YAML takes for something else in quotes")
    if isinstance(value, int) and value < 0:
        raise mistake(f"the number {value}", "numbers of classes begin at 0")
    if not str(value).strip():
        raise mistake(repr(value), "a label must not be blank")
    return str(value)


def _name(value: Any) -> str:
    if not isinstance(value, str):
        several = isinstance(value, list | tuple | Mapping)
        remedy = "give each class one name" if several else "write the name in quotes"
        if isinstance(value, bool):
            remedy += " (YAML takes yes, no, on, off, true and false for truth values)"
        raise mistake(_show(value), remedy)
    if not value.strip():
        raise mistake(repr(value), "a name must not be blank")
    return value


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value.strip()) is not None
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _show(value: Any) -> str:
    """Return a value for an error, without semicolons, at which the remedy would begin."""
    shown = as_yaml(value).replace(";", ",")
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
