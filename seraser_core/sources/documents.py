"""JSON documents that people wrote, and their values as texts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import polars as pl

from seraser_core.sources.names import text_lines


def parse(document: str | bytes) -> Any:
    """The document, with its numbers as the texts that they are, so that no id loses a digit.

    Raises:
        ValueError: It is no JSON, is nested too deeply, or an object in it has a key twice.
    """
    try:
        return json.loads(
            document,
            object_pairs_hook=_object,
            parse_int=str,
            parse_float=str,
            parse_constant=str,
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
        raise TypeError(f"has a {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"has {value!a}, which is no valid Unicode") from None
    return value


def read_json_lines(text: str, columns: Iterable[str]) -> pl.DataFrame:
    """A table with an object per line; blank lines are passed over.

    Args:
        text: The lines.
        columns: Those to read, as texts; of others there are only the names.

    Raises:
        ValueError: A line is no object, or holds several values in one of `columns`.
    """
    values: dict[str, list[str | None]] = {name: [] for name in columns}
    seen: dict[str, None] = {}
    rows = 0
    for number, line in enumerate(text_lines(text), start=1):
        if not line.strip():
            continue
        try:
            row = parse(line)
        except ValueError as error:
            raise ValueError(f"line {number} is no JSON: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is no object: {line[:40]!r}")
        seen |= dict.fromkeys(row)
        rows += 1
        try:
            for name, cells in values.items():
                cells.append(to_text(row.get(name)))
        except (TypeError, ValueError) as error:
            raise ValueError(f"line {number} {error} as {name!r}; give texts or numbers") from None
    if not rows:
        raise ValueError("it holds no object")
    return pl.DataFrame(
        {name: pl.Series(values.get(name, [None] * rows), dtype=pl.String) for name in seen}
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"an object has the key {twice!a} more than once")
    return found
