"""Numbers in cells, also with the decimal commas of half of the world's spreadsheets."""

from __future__ import annotations

import polars as pl

from seraser_core.errors import ConfigError

_WITH_COMMA = r"^[+-]?[0-9]+(,[0-9]+)?([eE][+-]?[0-9]+)?$"
_THOUSANDS = r"^[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+$"


def to_numbers(column: pl.Series, said: list[str]) -> pl.Series:
    """The numbers of a column, null where a cell is empty or says nan.

    A decimal comma is read where every cell of the column can be such a number, and where they
    are not all such that the comma could also separate thousands.

    Args:
        column: Numbers or texts.
        said: Gets a line where there are decimal commas.

    Raises:
        ConfigError: Names the cell that is no number.
    """
    if column.dtype != pl.String:
        if not (column.dtype.is_numeric() or column.dtype == pl.Null):
            raise _no_number(column, column.drop_nulls().head(1))
        return column.cast(pl.Float64).fill_nan(None)
    texts = column.str.strip_chars().replace("", None)
    numbers = texts.cast(pl.Float64, strict=False)
    wrong = texts.filter(numbers.is_null() & texts.is_not_null())
    if not len(wrong):
        return numbers.fill_nan(None)
    commas = texts.filter(texts.str.contains(",", literal=True).fill_null(False))
    plain = texts.str.contains(_WITH_COMMA) | texts.str.to_lowercase().is_in(["nan"])
    if len(commas) and plain.fill_null(True).all() and not commas.str.contains(_THOUSANDS).all():
        said.append(f"the numbers in {column.name!r} have decimal commas, e.g. {commas[0]!r}")
        return texts.str.replace(",", ".", literal=True).cast(pl.Float64).fill_nan(None)
    raise _no_number(column, wrong)


def _no_number(column: pl.Series, wrong: pl.Series) -> ConfigError:
    seen = repr(wrong[0]) if len(wrong) else f"type {column.dtype}"
    return ConfigError(
        "dataset.box",
        f"{seen} in column {column.name!r}",
        "must be a number such as 1234.5, without a sign between thousands or a unit",
    )
