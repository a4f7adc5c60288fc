"""What the commands print: results on standard output, all else on standard error."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

results = Console(soft_wrap=True)
errors = Console(stderr=True, soft_wrap=True)


def print_json(document: Any) -> None:
    """One JSON document, for scripts; numbers that are not finite become null."""
    typer.echo(json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """The given columns of `rows`; those that are empty in every row are left out."""
    kept = list(rows)
    shown = [name for name in columns if any(row.get(name) is not None for row in kept)]
    table = Table(title=title, title_justify="left")
    for name in shown:
        numbers = all(isinstance(row.get(name), int | float | None) for row in kept)
        table.add_column(name.replace("_", " "), justify="right" if numbers else "left")
    for row in kept:
        table.add_row(*(cell(row.get(name)) for name in shown))
    results.print(table)


def cell(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


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
