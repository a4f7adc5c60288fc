"""Findings of the check of some boxes or masks of a data set."""

from __future__ import annotations

from dataclasses import dataclass, field

LEAST_SHARE, MOST_SHARE = 0.01, 0.95
"""Range of the mean foreground share that is plausible."""


@dataclass
class Verdict:
    """Findings about the boxes or masks of a data set.

    Attributes:
        refusal: The fault and its remedy, if none of them can be right.
        warnings: Other doubts.
    """

    refusal: tuple[str, str] | None = None
    warnings: list[str] = field(default_factory=list)


def doubt_share(kind: str, mean: float, count: int) -> list[str]:
    """Return a warning if the mean share of foreground is near 0 or 1."""
    if LEAST_SHARE <= mean <= MOST_SHARE or not count:
        return []
    return [
        f"of {count} {kind} foregrounds that were looked at, the mean share of the picture is "
        f"{100 * mean:.1f} %"
    ]
