"""JSON documents that people wrote, and their values as texts."""

from __future__ import annotations

import json
from typing import Any


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


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"an object has the key {twice!a} more than once")
    return found
