"""The options of zero-shot classification of the surroundings."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from seraser_core.config.auxiliary import RegionKind
from seraser_core.config.methods.method_options import MethodOptions


class BackgroundOptions(MethodOptions):
    """Zero-shot classification of the image without its object (what the surroundings tell)."""

    implementation: ClassVar[str] = "seraser_core.methods.background:Background"
    name: Literal["background"] = "background"
    auxiliary: RegionKind = Field(default="mask", description="Source of the foreground.")
