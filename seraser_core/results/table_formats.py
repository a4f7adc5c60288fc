"""Tables as text for others: Markdown, LaTeX and CSV."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from seraser_core.display import Column, columns_of, is_number, printable

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    }
)


def markdown_table(table: pl.DataFrame, columns: Iterable[Column | str]) -> str:
    """Return those of the columns that have values, as GitHub shows them; numbers stand right."""
    return markdown_rows(_filled(table, columns), table.to_dicts())


def markdown_rows(columns: Iterable[Column | str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the columns that have values in any row, as `markdown_table` does."""
    kept = list(rows)
    filled = [c for c in columns_of(columns) if any(row.get(c.name) is not None for row in kept)]
    header = [column.heading for column in filled]
    cells = [[column.text(row.get(column.name)) for column in filled] for row in kept]
    line = [
        "---:" if all(is_number(row.get(column.name)) for row in kept) else "---"
        for column in filled
    ]
    texts = [[escape_markdown(text) for text in row] for row in (header, *cells)]
    return "".join(f"| {' | '.join(row)} |\n" for row in (texts[0], line, *texts[1:]))


def latex_table(table: pl.DataFrame, columns: Iterable[Column | str]) -> str:
    """Return those of the columns that have values as a `tabular` for the package booktabs."""
    kept = _filled(table, columns)
    sides = "".join("r" if table.schema[column.name].is_numeric() else "l" for column in kept)
    header, *rows = (" & ".join(map(escape_latex, texts)) + r" \\" for texts in _texts(table, kept))
    lines = [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", header, r"\midrule", *rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def csv_table(table: pl.DataFrame) -> str:
    """A table for spreadsheets: a text that they would compute has an apostrophe before it."""
    texts = pl.col(pl.String)
    formula = texts.str.contains(r"^[=+\-@\t\r\n]")
    plain = table.with_columns(texts.map_elements(printable, return_dtype=pl.String))
    return plain.with_columns(
        pl.when(formula).then(pl.lit("'") + texts).otherwise(texts).name.keep()
    ).write_csv()


def escape_markdown(text: str) -> str:
    """A text as one cell of a table shows it."""
    return re.sub(r"([\\|`*<\[~]|&(?=#?\w+;)|(?<!\w)_|_(?!\w))", r"\\\1", _one_line(text))


def markdown_code(text: str) -> str:
    """A text as code within a line, whatever it holds."""
    line = _one_line(text)
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def escape_latex(text: str) -> str:
    """A text as LaTeX sets it."""
    return _one_line(text).translate(_LATEX)


def _filled(table: pl.DataFrame, columns: Iterable[Column | str]) -> list[Column]:
    """The columns that the table has and that are not null throughout."""
    there = {name for name in table.columns if table[name].count()}
    return [column for column in columns_of(columns) if column.name in there]


def _texts(table: pl.DataFrame, columns: list[Column]) -> list[list[str]]:
    """The headings, and then the cells of every row."""
    cells = [[column.text(value) for value in table[column.name]] for column in columns]
    return [[column.heading for column in columns], *map(list, zip(*cells, strict=True))]


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
