"""The options of zero-shot classification of the foreground."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from seraser_core.config.auxiliary import RegionKind
from seraser_core.config.methods.method_options import MethodOptions


class ForegroundOptions(MethodOptions):
    """Zero-shot classification of the foreground image (what a segmenter alone buys)."""

    implementation: ClassVar[str] = "seraser_core.methods.foreground:Foreground"
    name: Literal["foreground"] = "foreground"
    auxiliary: RegionKind = Field(default="mask", description="Source of the foreground.")
