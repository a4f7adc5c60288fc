"""The options of PerceptionCLIP."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from seraser_core.config.methods.contexts import ContextDescriptions
from seraser_core.config.methods.method_options import MethodOptions


class PerceptionOptions(MethodOptions):
    """PerceptionCLIP (ICLR 2024): infer the context first, then the class given the context."""

    implementation: ClassVar[str] = "seraser_core.methods.perception:Perception"
    name: Literal["perception"] = "perception"
    contexts: ContextDescriptions
    tau: float = Field(
        default=1.0, gt=0, le=1e6, description="Temperature of the probabilities of contexts."
    )
