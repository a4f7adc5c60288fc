"""Tables of lines and cells, as spreadsheets, pandas, R and MATLAB write them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from seraser_core.sources.texts import with_line_feeds

_SEPARATORS = (",", ";", "\t", "|", " ")
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}
_DECLARED = re.compile(r'\ufeff?"?sep=(.)"?[,;\t ]*', re.IGNORECASE)
_LINES_BEFORE = 20
"""Number of lines in which the header may be."""
_BLANKS = " \t\ufeff\xa0"
_LONGEST_HEAD = 2**16
csv.field_size_limit(2**27)


@dataclass(frozen=True)
class Head:
    """Beginning of a table.

    Attributes:
        names: Names of the columns.
        separator: Between the cells.
        line: The number of its line, from 1.
        end: Characters up to the end of that line.
        is_comment: Whether the line begins with #.
    """

    names: list[str]
    separator: str
    line: int
    end: int
    is_comment: bool


def read_delimited(
    text: str, wanted: Sequence[str], separator: str, said: list[str]
) -> tuple[list[str], pl.DataFrame]:
    """Read all rows that are not blank, as texts; a blank cell without quotes is null.

    Args:
        text: The table.
        wanted: Names of the columns that are used.
        separator: The usual separator for the file's ending.
        said: Gets a line for everything that was read in another way than it is written.

    Returns:
        The names of the columns as they are written, and the table, whose columns have names of
        their own where others are called the same.

    Raises:
        ValueError: It is no such table; names the line.
    """
    # Not between quotes, where a line end is a part of a name.
    parts = text.split('"')
    if len(parts) > 1 and "\n" in text:
        parts[::2] = map(with_line_feeds, parts[::2])
        text = '"'.join(parts)
    else:
        text = with_line_feeds(text)
    head = find_head(text, wanted, separator)
    if head.separator != separator:
        said.append(f"its cells are separated by {_NAMES.get(head.separator, head.separator)}")
    passed = text[: head.end].split("\n")[: head.line - 1]
    passed = [line for line in passed if line.strip(_BLANKS) and not _DECLARED.fullmatch(line)]
    if passed:
        said.append(
            f"its columns are named in line {head.line}; {len(passed)} lines before are passed "
            f"over, e.g. {passed[0][:60]!r}"
        )
    body = _without_comments(text[head.end :], head, said)
    _check_separator(body, head)
    table = _rows(body, head, said)
    table = table.filter(~pl.all_horizontal(_is_blank(column) for column in table.columns))
    _tell_line_breaks(table, said)
    return head.names, table


def find_head(text: str, wanted: Sequence[str], separator: str) -> Head:
    """Return the first line that names most of the used columns, or the first line.

    Raises:
        ValueError: There is no line.
    """
    declared = _DECLARED.fullmatch(text.partition("\n")[0])
    separator = declared[1] if declared else separator
    candidates: list[Head] = []
    start = 0
    for number in range(1, _LINES_BEFORE + 1):
        end = text.find("\n", start)
        line = text[start:] if end < 0 else text[start:end]
        if line.strip(_BLANKS) and not (declared and number == 1):
            signs = [separator] if declared else [separator, *_SEPARATORS]
            heads = (_head_at(text, start, number, sign, wanted) for sign in signs if sign in line)
            candidates += [head for head in heads if head is not None]
            candidates += [_only_column(line, separator, number, start, wanted)]
        if end < 0:
            break
        start = end + 1
    if not candidates:
        raise ValueError("it holds no line")

    def worth(head: Head) -> tuple[int, ...]:
        hits = len(set(wanted) & set(head.names))
        cells = len(head.names)
        order = (0, head.separator == separator, cells) if hits else (cells, 0, 0)
        return hits, not head.is_comment, -head.line, head.separator != " ", *order

    return max(candidates, key=worth)


def _only_column(line: str, separator: str, number: int, start: int, wanted: Sequence[str]) -> Head:
    cells = [line.strip().removeprefix('"').removesuffix('"')]
    is_comment = line.startswith("#")
    return Head(_names(cells, wanted), separator, number, start + len(line) + 1, is_comment)


def _head_at(
    text: str, start: int, number: int, separator: str, wanted: Sequence[str]
) -> Head | None:
    """Read the record that begins at `start`; None if this separator does not fit."""
    read: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.StringIO(text[start : start + _LONGEST_HEAD]):
            read.append(line)
            yield line

    try:
        cells = next(csv.reader(lines(), delimiter=separator, skipinitialspace=separator != " "))
    except (csv.Error, StopIteration):
        return None
    is_comment = text.startswith("#", start)
    if separator == " " and cells[0] == "#":
        del cells[0]
    names = _names(cells, wanted) if cells else []
    return Head(names, separator, number, start + sum(map(len, read)), is_comment)


def _names(cells: Sequence[str], wanted: Sequence[str]) -> list[str]:
    names = [cell if cell in wanted else cell.strip(_BLANKS) for cell in cells]
    if names[0] not in wanted:
        names[0] = names[0].lstrip("# ")  # as NumPy writes the names
    return names


def _without_comments(body: str, head: Head, said: list[str]) -> str:
    """Return the lines without comments, which begin with # and are no rows."""
    if not body.startswith("#") and "\n#" not in body:
        return body
    width = len(head.names)

    def is_comment(line: str) -> bool:
        cells = line.count(head.separator) + 1
        return line.startswith("#") and (cells != width or line.startswith("# "))

    lines = body.split("\n")
    kept = [line for line in lines if not is_comment(line)]
    if len(kept) < len(lines):
        said.append(f"{len(lines) - len(kept)} lines begin with # and are passed over")
    return "\n".join(kept)


def _check_separator(body: str, head: Head) -> None:
    """Refuse rows with another separator than the header.

    Raises:
        ValueError: They have.
    """
    if len(head.names) == 1 or head.separator in body:
        return
    first = next((line for line in body.split("\n") if line.strip(_BLANKS)), "")
    for sign in _SEPARATORS:
        if sign not in (" ", head.separator) and first.count(sign) == len(head.names) - 1:
            raise ValueError(
                f"line {head.line} separates the columns by {_NAMES.get(head.separator, ',')}, and "
                f"the rows have {_NAMES.get(sign, sign)}; write one of them in all lines"
            )


def _rows(body: str, head: Head, said: list[str]) -> pl.DataFrame:
    names = own_names(head.names)
    marks = head.separator.join(f"c{i}" for i in range(len(names)))
    if head.separator != " " and f'{head.separator} "' in body:  # Polars takes it for a cell's own
        return _slow_rows(body, head, names, said)
    try:
        table = pl.read_csv(
            f"{marks}\n{body}".encode(), separator=head.separator, infer_schema=False
        )
    except pl.exceptions.PolarsError:  # rows that are longer, or quotes within cells
        return _slow_rows(body, head, names, said)
    table.columns = names
    if table.height and table[names[-1]].null_count() and len(names) > 1:
        _tell_short(body, head, said)
    return table


def _records(body: str, head: Head) -> Iterator[tuple[int, list[str]]]:
    """Yield the last line number and the cells of each row that is not blank.

    Raises:
        ValueError: A quote is not closed, or one that is, is followed by something else.
    """
    reader = csv.reader(
        io.StringIO(body),
        delimiter=head.separator,
        skipinitialspace=head.separator != " ",
        strict=True,
    )
    before = 0
    try:
        for cells in reader:
            before = reader.line_num
            if any(cell.strip(_BLANKS) for cell in cells):
                yield head.line + before, cells
    except csv.Error:
        raise ValueError(
            f'the row that begins in line {head.line + before + 1} has a " that is not closed, or '
            'text behind one that is; write "" for a quote inside of a quoted cell'
        ) from None


def _tell_short(body: str, head: Head, said: list[str]) -> None:
    width = len(head.names)
    short = [number for number, cells in _records(body, head) if len(cells) < width]
    if short:
        said.append(
            f"{len(short)} lines have fewer cells than line {head.line} has names, e.g. line "
            f"{short[0]}; those that lack count as empty"
        )


def _slow_rows(body: str, head: Head, names: list[str], said: list[str]) -> pl.DataFrame:
    """Read the rows by Python's reader, which locates faults."""
    width = len(names)
    records = list(_records(body, head))
    rows = [cells for _, cells in records]
    long = [(number, cells) for number, cells in records if len(cells) > width]
    if not long:
        _tell_short(body, head, said)
    elif all(not any(cell.strip(_BLANKS) for cell in cells[width:]) for _, cells in long):
        said.append(f"{len(long)} lines end with empty cells that have no column")
    elif all(len(cells) == width + 1 for cells in rows) and _are_counted(rows):
        said.append("its first cells are the numbers of the rows, as R writes them")
        rows = [cells[1:] for cells in rows]
    else:
        number, cells = long[0]
        raise ValueError(
            f"line {number} has {len(cells)} cells, and line {head.line} names {width} columns "
            f"({len(long)} such lines); name every column, and put cells that hold "
            f"{_NAMES.get(head.separator, head.separator)} in double quotes"
        )
    padded = [[*row[:width], *[""] * (width - len(row))] for row in rows]
    columns = list(zip(*padded, strict=True)) or [()] * width
    return pl.DataFrame(
        {
            name: pl.Series([cell or None for cell in column], dtype=pl.String)
            for name, column in zip(names, columns, strict=True)
        }
    )


def _are_counted(rows: Sequence[Sequence[str]]) -> bool:
    return all(cells[0] == str(number) for number, cells in enumerate(rows, start=1))


def own_names(names: Sequence[str]) -> list[str]:
    """Return the names, with new ones for repeated and empty ones."""
    seen: dict[str, None] = {}
    for place, name in enumerate(names, start=1):
        own = name or f"column {place}"
        while own in seen:
            own += f" (column {place})"
        seen[own] = None
    return list(seen)


def _is_blank(column: str) -> pl.Expr:
    return pl.col(column).is_null() | (pl.col(column).str.strip_chars(_BLANKS) == "")


def _tell_line_breaks(table: pl.DataFrame, said: list[str]) -> None:
    for name in table.columns:
        broken = table[name].filter(table[name].str.contains("\n", literal=True).fill_null(False))
        if len(broken):
            said.append(
                f"{len(broken)} cells of {name!r} hold line breaks, e.g. {broken[0][:60]!r}; where "
                'none should, a " is not closed and rows are lost'
            )
