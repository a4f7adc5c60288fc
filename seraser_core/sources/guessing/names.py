"""Names of classes and attributes, from the values of a column."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

import polars as pl

from seraser_core.errors import ConfigError
from seraser_core.sources.missing import is_missing, known
from seraser_core.sources.names import number_of
from seraser_core.sources.shown import composed

_PARTS = re.compile(r"[_\s-]+")
_ARTICLE = re.compile(r"(an?|the)\b", re.IGNORECASE)


def plain(name: str) -> str:
    """Return a column's name in lower case, with `_` for all that is no letter or digit."""
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")


def values_of(texts: pl.Series, setting: str) -> list[str]:
    """Return the different values of a column of labels or attributes, without missing ones."""
    with suppress(ConfigError):  # -1 and 1 are two values, once they are named
        texts = known(texts, (), setting, texts.name, [])
    values = {composed(text.strip()) for text in texts.drop_nulls().unique()}
    return sorted(value for value in values if not is_missing(value))


def are_numbers(values: Collection[str]) -> bool:
    """Return whether all values are whole numbers, truth values included."""
    return all(number_of(value) is not None for value in values)


def named(
    values: Sequence[str], what: str, told: Mapping[int, str] | None = None
) -> list[str] | dict[str, str]:
    """Return the names of values, as `dataset.classes` takes them.

    Numbers get names such as ``class 1``, to be replaced; texts become words with an article.

    Args:
        values: Different values, sorted.
        what: What they are, ``class``.
        told: Names of the numbers, where something tells them.
    """
    if are_numbers(values):
        numbers = sorted({number for value in values if (number := number_of(value)) is not None})
        names = [words_of(told[n]) if told else f"{what} {n}" for n in numbers]
        if numbers == list(range(len(numbers))):
            return names
        return dict(zip(map(str, numbers), names, strict=True))
    words = [words_of(value) for value in values]
    if len(set(words)) < len(words):
        return list(values)
    return words if words == list(values) else dict(zip(values, words, strict=True))


def alike(values: Sequence[str]) -> str | None:
    """Return a remark on names that differ only in case or spaces; None if there are none."""
    spelt: dict[str, list[str]] = {}
    for value in values:
        spelt.setdefault(" ".join(value.casefold().split()), []).append(value)
    same = next((names for names in spelt.values() if len(names) > 1), None)
    if same is None:
        return None
    return (
        f"{' and '.join(map(repr, same))} differ only in case or spaces, which models do not see; "
        "give them the same name in the data, or names that differ here"
    )


def from_files(
    numbers: pl.Series, files: pl.Series, taken: Collection[str] = ()
) -> dict[int, str] | None:
    """Return the names of numbers, where those of the files tell them, as ``camel_desert_1``.

    Args:
        numbers: Texts of whole numbers.
        files: Names of images.
        taken: Words of names that are those of something else.

    Returns:
        Number -> a part of its files' names that all of them have, at the same place, and no
        others; None if there is no such part.
    """
    told = [
        (number, _PARTS.split(file.rpartition("/")[2].rpartition(".")[0]))
        for text, file in zip(numbers, files, strict=True)
        if text is not None and file is not None and (number := number_of(text)) is not None
    ]
    for place in range(min((len(parts) for _, parts in told), default=0)):
        pairs = {(number, parts[place]) for number, parts in told}
        names = dict(pairs)
        words = set(map(words_of, names.values()))
        differ = len(pairs) == len(names) == len(words) > 1
        if differ and not words & set(taken) and all(re.search(r"[^\W\d]", w) for w in words):
            return names
    return None


def words_of(name: str) -> str:
    """Return a name as words of a prompt, such as ``a red fox`` for ``red_fox``; ids stay."""
    words = " ".join(re.split(r"[\s_]+", name.strip(" _")))
    if not re.match(r"[A-Za-z]", words) or re.search(r"\d", words) or _ARTICLE.match(words):
        return words or name
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"
