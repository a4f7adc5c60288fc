"""Base of all groups of options."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Base of all option groups: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


TEMPLATE_RULE = "must contain {} exactly once, for the class name, and no other brace"


def is_template(text: str) -> bool:
    """Whether `text` follows `TEMPLATE_RULE`."""
    return re.fullmatch(r"[^{}]*\{\}[^{}]*", text) is not None
