"""Names and numbers as people read them, the same in the terminal, the report and the tables.

Data keep shares as fractions; shown to people, every share is a percentage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

CONTROLS = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    for code in (
        *(code for code in range(0x20) if code not in b"\t\n"),
        *range(0x7F, 0xA0),
        *range(0x2028, 0x202F),
        *range(0x2066, 0x206A),
    )
}
"""Control and direction characters -> visible text."""
_VOWELS = (*"aeiouAEIOU", "nd")
"""Beginnings of nouns that sound like a vowel; nd is that of ndarray."""
_TINY = 1e-3
"""Smaller numbers are shown with an exponent."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Name in data.
        kind: Type of its values: str, int, float or bool.
        words: Its heading; None for the words of its name.
        percent: Whether the values are shares.
    """

    name: str
    kind: type = str
    words: str | None = None
    percent: bool = False

    @property
    def heading(self) -> str:
        """Heading of the column; a method goes by its id."""
        words = self.name.replace("_", " ").replace("zero shot", "zero_shot")
        return printable(words if self.words is None else self.words)

    def text(self, value: Any) -> str:
        """Return a value as text; empty if it is unknown."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        if self.percent:
            return percent(value)
        if isinstance(value, float):
            return f"{value:.1e}" if 0 < abs(value) < _TINY else f"{value:.3f}"
        return (
            f"{value:,}"
            if isinstance(value, int) and not isinstance(value, bool)
            else printable(str(value))
        )


def columns_of(columns: Iterable[Column | str]) -> list[Column]:
    """Return columns; a bare name stands for a column without options."""
    return [Column(column) if isinstance(column, str) else column for column in columns]


def is_number(value: Any) -> bool:
    """Return whether a value of a table stands on the right: a number, a percentage or nothing."""
    return value is None or isinstance(value, int | float) or str(value).endswith(" %")


def duration(seconds: float) -> str:
    """A time such as ``8 s``, ``12 min``, ``3 h 20 min`` or ``2 d 5 h``."""
    minutes, hours, days = (round(seconds / unit) for unit in (60, 3600, 86400))
    if seconds < 60 - 0.5:
        return f"{max(0, round(seconds))} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def percent(share: float) -> str:
    """A share such as ``90.2 %``."""
    return f"{100 * share:.1f} %"


def count(number: int, noun: str) -> str:
    """A number of things, such as ``1 shard`` or ``2,000 shards``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Return a text with visible control characters, such as ``\\x1b``; lines and tabs stay."""
    return text.translate(CONTROLS)


def sentence(text: str) -> str:
    """A remark as a sentence of its own."""
    return f"{text[:1].upper()}{text[1:]}."


def with_article(noun: str) -> str:
    """Return a noun after ``a`` or ``an``, such as ``an int``."""
    return f"{'an' if noun.startswith(_VOWELS) else 'a'} {noun}"


def kind_of(value: object) -> str:
    """Return the type of a value for people, such as ``an int``; ``None`` for None."""
    return "None" if value is None else with_article(type(value).__name__)
