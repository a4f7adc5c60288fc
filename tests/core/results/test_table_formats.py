"""Tables as Markdown and LaTeX, and names that mean something there."""

from __future__ import annotations

import csv
import io
import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from seraser_core.display import printable
from seraser_core.results.table_formats import (
    csv_table,
    latex_table,
    markdown_code,
    markdown_table,
)

TABLE = pl.DataFrame(
    {
        "method": ["zero_shot", "a|b\\|c & 50%\n{x}_$1 #~^<b>"],
        "worst_group": [0.123456, None],
        "p": [4.2e-9, 1.0],
        "fixed": [1234, None],
    }
)


def test_markdown():
    assert markdown_table(TABLE, TABLE.columns) == (
        "| method | worst group | p | fixed |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| zero_shot | 0.123 | 4.2e-09 | 1,234 |\n"
        "| a\\|b\\\\\\|c & 50% {x}\\_$1 #\\~^\\<b> |  | 1.000 |  |\n"
    )


def test_latex():
    assert latex_table(TABLE, TABLE.columns) == (
        "\\begin{tabular}{lrrr}\n"
        "\\toprule\n"
        "method & worst group & p & fixed \\\\\n"
        "\\midrule\n"
        "zero\\_shot & 0.123 & 4.2e-09 & 1,234 \\\\\n"
        "a\\textbar{}b\\textbackslash{}\\textbar{}c \\& 50\\% \\{x\\}\\_\\$1 "
        "\\#\\textasciitilde{}\\textasciicircum{}\\textless{}b\\textgreater{} &  & 1.000 &  \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
    )


_SPELLED = {
    "textbackslash": "\\",
    "textasciitilde": "~",
    "textasciicircum": "^",
    "textless": "<",
    "textgreater": ">",
    "textbar": "|",
}


def read_latex(cell: str) -> str:
    """What LaTeX would set."""
    return re.sub(
        r"\\([a-z]+)\{\}|\\(.)", lambda m: _SPELLED[m[1]] if m[1] else m[2], cell, flags=re.DOTALL
    )


@given(st.lists(st.text(st.characters(codec="utf-8")) | st.text("|\\*`&%_ \n{}$"), min_size=1))
def test_every_name_stays_one_cell(names):
    table = pl.DataFrame({"name": names, "n": 1})
    wanted = [" ".join(printable(name).split()) for name in names]
    markdown = markdown_table(table, table.columns).split("\n")[2:-1]
    shown = [line.removeprefix("| ").removesuffix(" | 1 |") for line in markdown]
    assert [re.sub(r"\\(.)", r"\1", cell) for cell in shown] == wanted
    assert {re.sub(r"\\.", "", line).count("|") for line in markdown} == {3}
    latex = latex_table(table, table.columns).split("\n")[4:-3]
    assert [read_latex(line.removesuffix(" & 1 \\\\")) for line in latex] == wanted
    for line in latex:
        assert not re.search(r"[%#$^~<>|]", re.sub(r"\\[%#$&_{}]", "", line))


NAMES = [
    "_a_ ~~b~~ **c** &amp; <b>x</b> [l](u) ![i](u) `d` a_b_c",
    "a | b \\\\ `` c",
    "`tick",
    "tick`",
    "[/] [bold]x[/]",
]


@pytest.mark.parametrize("name", NAMES)
def test_pages_show_names_as_they_are(name):
    """As an independent renderer reads the Markdown."""
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    cells = [
        t for t in reader.parse(markdown_table(pl.DataFrame({"n": [name]}), ["n"])) if t.children
    ]
    assert [(t.type, t.content) for t in cells[1].children if t.type != "text_special"] == [
        ("text", name)
    ]
    code = reader.parse(f"All: {markdown_code(name)}")[1].children
    assert [(t.type, t.content) for t in code] == [("text", "All: "), ("code_inline", name)]


def test_columns_that_are_null_throughout_are_left_out():
    table = TABLE.with_columns(pl.lit(None, pl.String).alias("nothing"))
    for made in (markdown_table, latex_table):
        assert made(table, [*table.columns, "absent"]) == made(TABLE, TABLE.columns)


def test_texts_in_csv_are_no_formulas():
    texts = ["=1+1", "+a", "-a", "@a", "\t=1", "plain", "a=b", ""]
    table = pl.DataFrame({"text": texts, "number": [-1.5] * len(texts)})
    header, *rows = csv.reader(io.StringIO(csv_table(table)))
    assert header == ["text", "number"]
    assert [row[0] for row in rows] == [*(f"'{text}" for text in texts[:5]), *texts[5:]]
    assert {row[1] for row in rows} == {"-1.5"}


def test_control_characters_are_shown():
    table = pl.DataFrame({"method": ["a\x1b[2J\u202eb\x9b"]})
    for text in (
        markdown_table(table, ["method"]),
        latex_table(table, ["method"]),
        csv_table(table),
    ):
        assert all(sign.isprintable() or sign == "\n" for sign in text)
        assert "x1b" in text
