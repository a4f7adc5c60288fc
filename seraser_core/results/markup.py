"""Tables as text for others: Markdown, LaTeX and CSV."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import polars as pl

from seraser_core.display import heading, printable, shown

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


def markdown_table(table: pl.DataFrame, headings: Mapping[str, str] | None = None) -> str:
    """A GitHub-flavoured table; numbers stand right."""
    header, *rows = (map(escape_markdown, texts) for texts in _texts(table, headings))
    line = ["---:" if kind.is_numeric() else "---" for kind in table.dtypes]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, line, *rows))


def latex_table(table: pl.DataFrame, headings: Mapping[str, str] | None = None) -> str:
    """A `tabular` for the package booktabs; numbers stand right."""
    columns = "".join("r" if kind.is_numeric() else "l" for kind in table.dtypes)
    header, *rows = (
        " & ".join(map(escape_latex, texts)) + r" \\" for texts in _texts(table, headings)
    )
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", header, r"\midrule", *rows]
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


def without_empty(table: pl.DataFrame) -> pl.DataFrame:
    """The table without columns that are null throughout."""
    return table.select(name for name in table.columns if table[name].count())


def _texts(table: pl.DataFrame, headings: Mapping[str, str] | None) -> Iterator[list[str]]:
    """The headings, and then the cells of every row."""
    yield [heading(name, headings) for name in table.columns]
    for row in table.iter_rows():
        yield [shown(name, value) for name, value in zip(table.columns, row, strict=True)]


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
