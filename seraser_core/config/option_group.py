"""Base of all groups of options."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError, PydanticKnownError


class Options(BaseModel):
    """Base of all option groups: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def choice(names: Collection[str], value: Any) -> Any:
    """Return `value`, one of `names`.

    Raises:
        PydanticKnownError: It is another one; told as that of a literal.
    """
    if isinstance(value, str) and value in names:
        return value
    *most, last = map(repr, names)
    raise PydanticKnownError("literal_error", {"expected": f"{', '.join(most)} or {last}"})


def mistake(value: str, remedy: str, option: str = "") -> PydanticCustomError:
    """Make the error of a rule of ours; its ``context`` holds the three texts.

    Args:
        value: The refused value, as people read it.
        remedy: Advice how to fix it.
        option: Name in the group that is checked; empty for the option or group itself.
    """
    context = {"value": value, "remedy": remedy, "option": option}
    place = "{option}: " if option else ""
    return PydanticCustomError("mistake", place + "{value}; {remedy}", context)


TEMPLATE_RULE = "must contain {} exactly once, for the class name, and no other brace"


def is_template(text: str) -> bool:
    """Return whether `text` follows `TEMPLATE_RULE`."""
    return re.fullmatch(r"[^{}]*\{\}[^{}]*", text) is not None
