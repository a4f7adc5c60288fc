"""The options of prompt ensembles."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from seraser_core.config.methods.method_options import MethodOptions
from seraser_core.config.methods.templates import TEMPLATES_HELP, Templates


class EnsembleOptions(MethodOptions):
    """Zero-shot with the mean text feature of many prompt templates, arXiv 2103.00020."""

    implementation: ClassVar[str] = "seraser_core.methods.ensemble:Ensemble"
    name: Literal["ensemble"] = "ensemble"
    templates: Templates = Field(
        default="imagenet80", validate_default=True, description=TEMPLATES_HELP
    )
