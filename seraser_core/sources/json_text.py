"""JSON documents, with their values as texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl

from seraser_core.display import kind_of
from seraser_core.sources.texts import text_lines


def parse(document: str | bytes) -> Any:
    """Parse the document, with numbers as texts, so that no id loses a digit.

    NaN, which is no JSON but which pandas and Python write, is null.

    Raises:
        ValueError: It is no JSON, is nested too deeply, or an object in it has a key twice.
    """
    try:
        return json.loads(
            document,
            object_pairs_hook=_object,
            parse_int=str,
            parse_float=str,
            parse_constant=lambda name: None if name == "NaN" else name,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def to_text(value: Any) -> str | None:
    """A value of a parsed document as text; true and false are lower-case.

    Raises:
        TypeError: It is several values.
        ValueError: It holds half of a character, which no UTF-8 has.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise TypeError(f"has {kind_of(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"has {value!a}, which is no valid Unicode") from None
    return value


def read_json(
    text: str, columns: Iterable[str], said: list[str], by_lines: bool = True
) -> pl.DataFrame:
    """A table of objects: one per line, a list of them, or what pandas' `to_json` writes.

    Args:
        text: The document, or its lines.
        columns: Columns to read, as texts; of others, only the names are read.
        said: Gets a line where it should be lines and is none.
        by_lines: Whether an object is a row and never a table of columns.

    Raises:
        ValueError: It is no such table, or holds several values in one of `columns`.
    """
    if text.lstrip().startswith("["):
        if by_lines:
            said.append("it is a JSON list, not JSON lines")
        try:
            rows = parse(text)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"it is no JSON from line {error.lineno}, column {error.colno} on; write a list of "
                "objects, or an object per line"
            ) from None
        return _table(((f"object {i}", row) for i, row in enumerate(rows, start=1)), columns)
    if not by_lines:
        try:
            columnar = _columnar(parse(text))
        except json.JSONDecodeError:  # an object per line, all the same
            columnar = None
        if columnar is not None:
            return _table(((f"row {i}", row) for i, row in enumerate(columnar, start=1)), columns)
    return _table(_lines(text), columns)


def _lines(text: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text_lines(text), start=1):
        if line.strip():
            try:
                yield f"line {number}", parse(line.rstrip(" \t,") if "}," in line[-4:] else line)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"line {number} is no JSON from character {error.pos + 1} on; write an object "
                    "per line"
                ) from None
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None


def _columnar(document: Any) -> Iterable[dict[str, Any]] | None:
    """Return the rows of a document of columns; None if it is one row.

    Raises:
        ValueError: It is neither.
    """
    if not isinstance(document, dict) or not any(
        isinstance(value, dict | list) for value in document.values()
    ):
        return None
    names, data = document.get("columns"), document.get("data")
    if isinstance(data, list) and all(isinstance(row, dict) for row in data):  # orient="table"
        return data
    if isinstance(names, list) and isinstance(data, list):  # orient="split"
        for number, row in enumerate(data, start=1):
            if not isinstance(row, list) or len(row) != len(names):
                count = len(row) if isinstance(row, list) else "no"
                raise ValueError(f"row {number} has {count} values for {len(names)} columns")
        return [dict(zip(names, row, strict=True)) for row in data]
    cells = [list(v.values()) if isinstance(v, dict) else v for v in document.values()]
    keys = [list(v) if isinstance(v, dict) else None for v in document.values()]
    if (
        all(isinstance(column, list) for column in cells)
        and len({len(column) for column in cells}) == 1
        and all(key == keys[0] for key in keys)
    ):
        return [dict(zip(document, row, strict=True)) for row in zip(*cells, strict=True)]
    raise ValueError(
        f"it is one object with {', '.join(map(repr, list(document)[:6]))} and no table; write a "
        "list of objects, or an object per line, with the image and the label in each"
    )


def _table(objects: Iterable[tuple[str, Any]], columns: Iterable[str]) -> pl.DataFrame:
    values: dict[str, list[str | None]] = {name: [] for name in columns}
    seen: dict[str, None] = {}
    rows = 0
    for place, row in objects:
        if not isinstance(row, dict):
            raise ValueError(f"{place} is no object: {str(row)[:40]!r}")
        seen |= dict.fromkeys(row)
        rows += 1
        try:
            for name, cells in values.items():
                cells.append(to_text(row.get(name)))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{place} {error} as {name!r}; give texts or numbers") from None
    if not rows:
        raise ValueError("it holds no object")
    return pl.DataFrame(
        {name: pl.Series(values.get(name, [None] * rows), dtype=pl.String) for name in seen}
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in members if names.count(name) > 1)
        raise ValueError(f"an object has the key {twice!a} more than once")
    return members
