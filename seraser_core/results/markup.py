"""Tables as text for others: Markdown, LaTeX and CSV."""

from __future__ import annotations

import re
from typing import Any

import polars as pl

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


def markdown_table(table: pl.DataFrame) -> str:
    """A GitHub-flavoured table; numbers stand right."""
    header = [escape_markdown(_header(name)) for name in table.columns]
    line = ["---:" if kind.is_numeric() else "---" for kind in table.dtypes]
    rows = [[escape_markdown(_text(value)) for value in row] for row in table.iter_rows()]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, line, *rows))


def latex_table(table: pl.DataFrame) -> str:
    """A `tabular` for the package booktabs; numbers stand right."""
    columns = "".join("r" if kind.is_numeric() else "l" for kind in table.dtypes)
    header, *rows = (
        " & ".join(map(escape_latex, cells)) + r" \\"
        for cells in (map(_header, table.columns), *(map(_text, row) for row in table.iter_rows()))
    )
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", header, r"\midrule", *rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def csv_table(table: pl.DataFrame) -> str:
    """A table for spreadsheets: a text that they would compute has an apostrophe before it."""
    texts = pl.col(pl.String)
    formula = texts.str.contains(r"^[=+\-@\t\r\n]")
    return table.with_columns(
        pl.when(formula).then(pl.lit("'") + texts).otherwise(texts).name.keep()
    ).write_csv()


def escape_markdown(text: str) -> str:
    """A text as one cell of a table shows it."""
    return re.sub(r"([\\|`*<\[])", r"\\\1", _one_line(text))


def escape_latex(text: str) -> str:
    """A text as LaTeX sets it."""
    return _one_line(text).translate(_LATEX)


def without_empty(table: pl.DataFrame) -> pl.DataFrame:
    """The table without columns that are null throughout."""
    return table.select(name for name in table.columns if table[name].count())


def _header(name: str) -> str:
    return name.replace("_", " ")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.3f}"
    return str(value)


def _one_line(text: str) -> str:
    return " ".join(text.split())
