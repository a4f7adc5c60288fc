"""Output of the commands: results on standard output, all else on standard error."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from seraser_core.display import CONTROLS, Column, columns_of, is_number, printable
from seraser_core.errors import HINT


class _Console(Console):
    """Shows control characters of data; those of its own styles and bars reach the terminal."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Render an object as printable segments."""
        for part in super().render(renderable, options):
            yield part if part.control else Segment(printable(part.text), part.style)


def _console(stderr: bool) -> Console:
    """Return a console that prints data as it is: brackets are no markup, ``:cat:`` no emoji."""
    return _Console(stderr=stderr, soft_wrap=True, markup=False, emoji=False, highlight=False)


HINT_STYLE = "bold cyan"
_words: ContextVar[tuple[str, ...]] = ContextVar("words", default=())
results, errors = _console(stderr=False), _console(stderr=True)


def say_error(kind: str, message: str) -> None:
    """Print an error whose remedies stand on lines of their own."""
    errors.print(kind, style="bold red", end=" ")
    for line in message.splitlines():
        if line.startswith(HINT):
            errors.print(HINT, style=HINT_STYLE, end="")
        errors.print(line.removeprefix(HINT))


def say_next(*words: str) -> None:
    """Print the command that comes next, to be pasted."""
    errors.print("next: ", style="bold green", end="")
    errors.print(as_command(*words))


def as_command(*words: str) -> str:
    """Return a command of this program as a shell takes it, the way that this one was called."""
    prefix = ["uv", "run"] if "UV" in os.environ else []  # uv says so to what it runs
    return shlex.join([*prefix, "seraser", *words])


def begin_command(words: Sequence[str]) -> None:
    """Note the words of the command line that begins, without the name of the program."""
    _words.set(tuple(words))


def this_command() -> str:
    """Return the command line that is running, without secrets."""
    from seraser_core.config.secrets import shown_override

    text = as_command(*map(shown_override, _words.get()))
    return text.encode(errors="backslashreplace").decode()  # names of files need not be texts


def print_text(text: str) -> None:
    """Print a text as it is; the command ends if nobody reads any more, as it does in a table."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        results.on_broken_pipe()


def print_json(document: Any) -> None:
    """Print one JSON document, for scripts; numbers that are not finite become null."""
    text = json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False)
    # All of these can only be inside texts, except line ends, which stay.
    print_text(text.translate({code: f"\\u{code:04x}" for code in CONTROLS}))


def print_table(
    title: str, columns: Iterable[Column | str], rows: Iterable[Mapping[str, Any]]
) -> None:
    """Print the given columns of `rows`, see `make_table`; as Markdown where that is asked for."""
    if _Tables.markdown:
        from seraser_core.results.table_formats import escape_markdown, markdown_rows

        results.print(f"**{escape_markdown(title)}**\n\n{markdown_rows(columns, rows)}")
    else:
        results.print(make_table(title, columns, rows))


class _Tables:
    markdown = False


def print_markdown(asked: bool) -> bool:
    """Choose the form of all tables of the command, and return whether it is Markdown."""
    _Tables.markdown = asked
    return asked


def make_table(
    title: str, columns: Iterable[Column | str], rows: Iterable[Mapping[str, Any]]
) -> Table:
    """Return the given columns of `rows`, without those that are empty in every row.

    Texts wrap between words and no word is shortened: a table whose words do not fit is wider
    than the terminal.
    """
    kept = list(rows)
    filled = [
        column
        for column in columns_of(columns)
        if any(row.get(column.name) is not None for row in kept)
    ]
    headers = [column.heading for column in filled]
    cells = [[column.text(row.get(column.name)) for row in kept] for column in filled]
    between = 2 * len(filled)
    widths = _widths(headers, cells, results.width - between)
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        width=sum(widths) + between,
    )
    for column, header, width in zip(filled, headers, widths, strict=True):
        numbers = all(is_number(row.get(column.name)) for row in kept)
        table.add_column(Text(header), justify="right" if numbers else "left", width=width)
    for texts in zip(*cells, strict=True):
        table.add_row(*map(Text, texts))
    return table


def _widths(headers: Sequence[str], cells: Sequence[Sequence[str]], room: int) -> list[int]:
    """Return column widths: at least the longest word; cells get spare room before headers.

    Args:
        headers: Headers of the columns.
        cells: Texts of every column.
        room: Characters for all columns.
    """
    columns = [(header, *texts) for header, texts in zip(headers, cells, strict=True)]
    widths = [max(cell_len(w) for text in column for w in text.split(" ")) for column in columns]
    for whole in (cells, columns):
        for place, texts in enumerate(whole):
            wanted = max(map(cell_len, texts), default=0) - widths[place]
            widths[place] += max(0, min(wanted, room - sum(widths)))
    return widths


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
