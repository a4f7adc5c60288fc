"""Rows of a split, by the values of a column."""

from __future__ import annotations

import difflib

import polars as pl

from seraser_core.config.options import SplitOptions
from seraser_core.errors import ConfigError
from seraser_core.sources.names import number_of, whole_number, word

_MOST = 10


def rows_of_split(texts: pl.Series, split: SplitOptions, said: list[str]) -> pl.Series:
    """Return which cells of a column have one of the values of `dataset.split`.

    Args:
        texts: The column.
        split: The option.
        said: Gets a line about values that are left out and near those that are asked for.

    Raises:
        ConfigError: No cell has one of the values.
    """
    counts = texts.drop_nulls().value_counts(sort=True).rows()
    kept: set[str] = set()
    unknown = []
    for value in split.values:
        alike = {text for text, _ in counts if _is_split(text, value)}
        kept |= alike
        if not alike:
            unknown.append(value)
    if unknown:
        some = ", ".join(
            f"{text} ({rows:,} row{'s' if rows > 1 else ''})" for text, rows in counts[:_MOST]
        )
        more = f" and {len(counts) - _MOST:,} more" if len(counts) > _MOST else ""
        near = difflib.get_close_matches(str(unknown[0]), [text for text, _ in counts], n=1)
        raise ConfigError(
            "dataset.split",
            ", ".join(map(repr, unknown)),
            (f"did you mean {near[0]!r}? " if near else "")
            + f"the column {split.column!r} has the values {some or '(none)'}{more}",
        )
    near_ones = [
        f"{text!r} ({rows:,})"
        for text, rows in counts
        if text not in kept and any(_is_near(text, value) for value in split.values)
    ]
    if near_ones:
        said.append(
            f"dataset.split: rows of {split.column!r} with "
            f"{', '.join(near_ones[:_MOST])} are left out; name these values as well if "
            "they are meant"
        )
    return texts.is_in(list(kept)).fill_null(False)


def _is_split(text: str, value: int | str) -> bool:
    """Return whether a cell has a value of `dataset.split`."""
    # pandas writes 2 as 2.0; true in YAML is 1 here
    same = str(value) in (text, text.removesuffix(".0"))
    return same or (isinstance(value, int) and number_of(text) == value)


def _is_near(text: str, value: int | str) -> bool:
    """Return whether a cell nearly matches a value of `dataset.split`."""
    number = whole_number(str(value))
    return word(text) == word(str(value)) or (number is not None and whole_number(text) == number)
