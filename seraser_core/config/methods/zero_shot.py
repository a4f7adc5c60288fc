"""The options of zero-shot classification."""

from __future__ import annotations

from typing import ClassVar, Literal

from seraser_core.config.methods.method_options import MethodOptions


class ZeroShotOptions(MethodOptions):
    """Zero-shot classification with the untouched prompts."""

    implementation: ClassVar[str] = "seraser_core.methods.zero_shot:ZeroShot"
    name: Literal["zero_shot"] = "zero_shot"
