"""Names and indices of classes and attributes."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Sequence

import polars as pl

from seraser_core.config.classes import are_labels, labels_of
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError
from seraser_core.sources.class_files import read_entries
from seraser_core.sources.missing import is_missing
from seraser_core.sources.shown import composed

_TRUTH = {"false": 0, "true": 1}
_ARTICLE = re.compile(r"(an?|the) (?=.)")
_MOST_ALIKE = 5
_ID = re.compile(r"n?[0-9]+")
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?")


def class_names(options: DatasetOptions) -> list[str] | None:
    """Labels of the configured classes, as the data has them; None when none are given.

    Raises:
        ConfigError: The file that names them cannot be used.
    """
    entries = read_entries(options)
    return None if entries is None else labels_of(entries)


def attribute_names(options: DatasetOptions) -> list[str]:
    """Labels of the configured attributes, as the data has them; empty when none are given."""
    return labels_of(options.attributes or ())


def doubtful_names(names: Sequence[str]) -> list[str]:
    """Warnings of names that mean little in a prompt."""
    warnings = []
    for listed, why in (
        ([name for name in names if _ID.fullmatch(name)], "ids and numbers are no words"),
        ([name for name in names if "_" in name], "its underscores stay in them"),
    ):
        if listed:
            warnings.append(
                f"{len(listed)} of {len(names)} classes go into the prompts as {listed[0]!r} does: "
                f"{why}. Give words: `dataset.classes: {{{listed[0]}: words}}` for every class"
            )
    return warnings


def finder(names: Sequence[str]) -> Callable[[str], int | None]:
    """Return a function that finds the index of a name, or of the only one with its `word`."""
    exact = {name: i for i, name in enumerate(names)}
    times = Counter(map(word, names))
    alike = {word(name): i for name, i in exact.items() if times[word(name)] == 1}
    return lambda name: exact.get(name, alike.get(word(name)))


def word(name: str) -> str:
    """Return a key that ignores case, punctuation between words and a leading article."""
    return _ARTICLE.sub("", " ".join(re.split(r"[\s_-]+", name.casefold().strip(" _-"))), count=1)


def to_index(
    texts: pl.Series, names: Sequence[str], field: str, listed_in: str, from_data: bool = False
) -> pl.Series:
    """Return indices into `names` for texts that are names or indices; null for missing values.

    A name is looked for first. Tables written by pandas hold indices as ``1.0``; ``true`` and
    ``false`` are 1 and 0 unless a name is one of them, whatever its case.

    Args:
        texts: Column of texts.
        names: Allowed names; when empty, any non-negative index is allowed.
        field: The setting that named the column, for errors.
        listed_in: The setting that lists the names, for errors.
        from_data: The names are those of the texts themselves, so that none is an index.

    Raises:
        ConfigError: A value is neither a name nor an index below ``len(names)``, or is the name
            of one and the index of another.
    """
    most = len(names) or 2**31
    positions = {composed(name): i for i, name in enumerate(names)}
    # Numbers in rising order come from a mapping; nobody lists names so and means indices.
    alone = are_labels(names) and list(names) == sorted(names, key=int)
    if alone:
        positions = {str(int(name)): i for i, name in enumerate(names)} | positions
    words = {name.lower(): i for i, name in enumerate(names) if name.lower() in _TRUTH}
    indices: dict[str, int] = {}
    outside = []
    for value in texts.drop_nulls().unique(maintain_order=True):
        word = value.lower()
        number = whole_number(value) if words else number_of(value)
        named = positions.get(composed(value), words.get(word))
        if named is None and number is not None:
            named = positions.get(str(number))
        other = named is not None and number not in (None, named) and not (from_data or alone)
        if other and number is not None and 0 <= number < most:
            raise ConfigError(
                field,
                repr(value),
                f"is the name of {listed_in}[{named}] and the index of {names[number]!r}; give "
                "names that are no numbers, or put each at its own index",
            )
        lost = number is None or alone
        if named is None and lost and not is_missing(value, names):
            near = difflib.get_close_matches(value, names, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(
                field,
                repr(value),
                f"{hint}values must be {'among the' if alone else 'indices or'} names in "
                f"{listed_in}: {some(names)}"
                if names
                else f"has no number, and no names are given; name its values in {listed_in}",
            )
        index = number if named is None else named
        if index is None:
            continue
        indices[value] = index
        if not 0 <= index < most:
            outside.append(value)
    if outside:
        raise ConfigError(
            field,
            f"{outside[0]} ({texts.is_in(outside).sum()} rows)",
            f"outside of {listed_in}, which has {len(names)} names (0 to {len(names) - 1}); "
            "add the missing names or correct the column"
            if names
            else "must not be negative; leave the cell empty where nothing is known",
        )
    return texts.replace_strict(indices, default=None, return_dtype=pl.Int32)


def names_among(texts: pl.Series) -> list[str]:
    """Return the sorted names among `texts`; empty if all are indices."""
    known = (value for value in texts.drop_nulls().unique() if not is_missing(value))
    values = list(dict.fromkeys(map(composed, known)))
    return sorted(values) if any(number_of(value) is None for value in values) else []


def alike(names: Sequence[str], texts: pl.Series) -> list[str]:
    """Return warnings about attributes that differ only in case, blanks and punctuation."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(word(name), []).append(name)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        return []
    counts = Counter(map(composed, texts.drop_nulls()))
    shown = [" and ".join(f"{name!r} ({counts[name]})" for name in group) for group in several]
    more = f", and {len(several) - _MOST_ALIKE} more" if several[_MOST_ALIKE:] else ""
    return [
        f"attributes that are alike are different groups: {', '.join(shown[:_MOST_ALIKE])}{more}; "
        "write each in one way in the data where they are the same, or name them in "
        "dataset.attributes if they differ"
    ]


def number_of(text: str) -> int | None:
    """Return the whole number that `text` stands for; true is 1 and false is 0."""
    return _TRUTH.get(text.lower(), whole_number(text))


def whole_number(text: str) -> int | None:
    """Return the whole number in `text`, perhaps as ``1.0`` or ``1e0``; None for other texts."""
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else None


def some(names: Sequence[str]) -> str:
    """The first of many names, for errors."""
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
