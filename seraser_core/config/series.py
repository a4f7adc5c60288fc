"""Options of a series: runs over data that grows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from seraser_core.config.option_group import Options


class SeriesOptions(Options):
    """Runs over data that grows; each evaluates what is new. They change no run, only which is."""

    changed: Literal["keep", "again"] = Field(
        default="keep",
        description="For data that grows: with `series: {changed: keep}`, each run evaluates "
        "only the new images, and the report covers all runs. keep: an image whose file or label "
        "has changed since its run keeps its rows, with a warning. again: it is evaluated again, "
        "and its old rows no longer count.",
    )
