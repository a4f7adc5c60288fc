"""The options of SEraser for a whole task."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from seraser_core.config.methods.seraser import EraseOptions


class SeraserTaskOptions(EraseOptions):
    """SEraser for a whole task: one prompt, tuned on a sample of the images, applied to all."""

    implementation: ClassVar[str] = "seraser_core.methods.seraser_task:SeraserTask"
    name: Literal["seraser_task"] = "seraser_task"
    sample: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="Number of images that the prompt is tuned on, drawn without labels from the "
        "whole data set.",
    )
