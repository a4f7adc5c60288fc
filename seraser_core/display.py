"""Names and numbers as people read them, the same in the terminal, the report and the tables.

Data keep shares as fractions; shown to people, every share is a percentage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_PERCENT = {
    "accuracy",
    "adjusted_accuracy",
    "group_mean",
    "harmonic_mean",
    "top5",
    "worst_group_accuracy",
    "worst_group_low",
    "worst_group_high",
    "gap",
    "ece",
    "low",
    "high",
    "zero_shot_accuracy",
    "recall",
    "precision",
    "mean_share",
}
"""Columns that hold shares."""
SUMMARY = {
    "accuracy": "average (pooled)",
    "adjusted_accuracy": "average (adjusted)",
    "group_mean": "average (group mean)",
    "harmonic_mean": "harmonic mean of groups",
    "small_groups": "groups too small",
    "mean_rank_accuracy": "mean rank of average",
    "rank_accuracy": "rank of average",
}
"""Columns of a table with one row per method -> their headings, where those are other words."""
CONTROLS = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    for code in (
        *(code for code in range(0x20) if code not in b"\t\n"),
        *range(0x7F, 0xA0),
        *range(0x2028, 0x202F),
        *range(0x2066, 0x206A),
    )
}
"""Signs that command a terminal or turn the direction of what is read -> what shows them."""
_TINY = 1e-3
"""Numbers below it are no zeros."""


def heading(column: str, headings: Mapping[str, str] | None = None) -> str:
    """Heading of a column; a method goes by its id."""
    words = column.replace("_", " ").replace("zero shot", "zero_shot")
    return (headings or {}).get(column, printable(words))


def shown(column: str, value: Any) -> str:
    """A value of a column as text; nothing for what is not known."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if column in _PERCENT:
        return percent(value)
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < _TINY else f"{value:.3f}"
    return (
        f"{value:,}"
        if isinstance(value, int) and not isinstance(value, bool)
        else printable(str(value))
    )


def percent(share: float) -> str:
    """A share such as ``90.2 %``."""
    return f"{100 * share:.1f} %"


def printable(text: str) -> str:
    """A text whose control characters are visible, such as ``\\x1b``; lines and tabs stay."""
    return text.translate(CONTROLS)


def sentence(text: str) -> str:
    """A remark as a sentence of its own."""
    return f"{text[:1].upper()}{text[1:]}."
