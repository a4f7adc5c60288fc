"""Names and indices of classes and attributes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import polars as pl

from seraser_core import storage
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError, TransientError


def class_names(options: DatasetOptions) -> list[str] | None:
    """The configured class names, from the list or the file; None when none are given.

    Raises:
        ConfigError: The file cannot be read, is empty or names a class twice; a name is blank.
    """
    if not isinstance(options.classes, str):
        if any(not name.strip() for name in options.classes or ()):
            raise ConfigError("dataset.classes", options.classes, "a name must not be blank")
        return options.classes
    try:
        text = storage.read_bytes(options.classes, options.storage_options).decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError("dataset.classes", options.classes, "there is no such file") from None
    except UnicodeDecodeError:
        raise ConfigError("dataset.classes", options.classes, "must be UTF-8 text") from None
    except (OSError, TransientError, ValueError, ImportError) as error:
        raise ConfigError("dataset.classes", options.classes, f"cannot be read: {error}") from None
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise ConfigError("dataset.classes", options.classes, "holds no names; one per line")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError("dataset.classes", repeated[0], "is named more than once in the file")
    return names


def to_index(column: pl.Series, names: Sequence[str], field: str, listed_in: str) -> pl.Series:
    """Indices into `names` of a column of indices or names; null stays null.

    Args:
        column: Integers, texts of integers, or names.
        names: Allowed names; when empty, any non-negative index is allowed.
        field: The setting that named the column, for errors.
        listed_in: The setting that lists the names, for errors.

    Raises:
        ConfigError: A value is neither an index below ``len(names)`` nor a name.
    """
    if column.dtype == pl.Boolean:
        column = column.cast(pl.Int32)
    column = whole_numbers(column)
    if column.dtype.is_integer() and column.dtype != pl.Int128:
        numbers = column.cast(pl.Int64)
    else:
        texts = column.cast(pl.String)
        positions = {name: i for i, name in enumerate(names)}
        numbers = texts.replace_strict(positions, default=None, return_dtype=pl.Int64)
        numbers = numbers.fill_null(texts.cast(pl.Int64, strict=False))
        strange = texts.filter(numbers.is_null() & texts.is_not_null())
        if len(strange):
            if column.dtype.is_float():  # name the fraction, not the whole number before it
                strange = column.filter(column % 1 != 0).cast(pl.String)
            near = difflib.get_close_matches(strange[0], names, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(
                field,
                repr(strange[0]),
                f"{hint}values must be indices or names in {listed_in}: {_some(names)}",
            )
    outside = numbers.filter((numbers < 0) | (numbers >= (len(names) or 2**31)))
    if len(outside):
        raise ConfigError(
            field,
            f"{outside[0]} ({len(outside)} rows)",
            f"outside of {listed_in}, which has {len(names)} names (0 to {len(names) - 1}); "
            "add the missing names or correct the column"
            if names
            else "must not be negative; leave the cell empty where nothing is known",
        )
    return numbers.cast(pl.Int32)


def whole_numbers(column: pl.Series) -> pl.Series:
    """A float column of whole numbers as integers, NaN as null; any other column as it is.

    Tables written by pandas hold integers with gaps as floats.
    """
    if not column.dtype.is_float():
        return column
    filled = column.fill_nan(None)
    return filled.cast(pl.Int64) if (filled.drop_nulls() % 1 == 0).all() else column


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
