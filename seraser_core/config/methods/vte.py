"""The options of VTE."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from seraser_core.config.methods.method_options import MethodOptions, Views
from seraser_core.config.methods.templates import TEMPLATES_HELP, Templates


class VteOptions(MethodOptions):
    """VTE: the mean feature of confident random crops, against a template ensemble; no gradient."""

    implementation: ClassVar[str] = "seraser_core.methods.vte:Vte"
    name: Literal["vte"] = "vte"
    views: Views = 64
    selection: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Share of the views that is averaged, those of lowest entropy; at least one.",
    )
    templates: Templates = Field(
        default="imagenet80", validate_default=True, description=TEMPLATES_HELP
    )
