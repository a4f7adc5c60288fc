"""The options of TPT."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from seraser_core.config.methods.method_options import MethodOptions, Views


class TptOptions(MethodOptions):
    """TPT, arXiv 2209.07511: tune the prompt until random crops agree and are decided."""

    implementation: ClassVar[str] = "seraser_core.methods.tpt:Tpt"
    name: Literal["tpt"] = "tpt"
    views: Views = 64
    selection: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Share of the views used for tuning, those of lowest entropy; at least one.",
    )
    context: str = Field(
        default="a photo of a",
        pattern=r"^[^{}]*[^{}\s][^{}]*$",
        max_length=1000,
        description="Words that are tuned. The prompt of a class is `<context> <class>.`, whatever "
        "dataset.template is.",
    )
    steps: int = Field(default=1, ge=0, le=100_000, description="AdamW steps.")
    lr: float = Field(default=5e-3, gt=0, le=1e3, description="AdamW learning rate.")
    weight_decay: float = Field(default=0.01, ge=0, le=1e3, description="AdamW weight decay.")
