"""The options of SAGE and of its control."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from seraser_core.config.methods.method_options import MethodOptions
from seraser_core.config.methods.templates import TEMPLATES_HELP, Templates
from seraser_core.config.option_group import mistake


class TemplateChoiceOptions(MethodOptions):
    """Options of methods that choose some templates for every image."""

    templates: Templates = Field(
        default="imagenet80", validate_default=True, description=TEMPLATES_HELP
    )
    keep: int = Field(
        default=1, ge=1, description="Templates that are kept of every image; their mean counts."
    )

    @model_validator(mode="after")
    def _enough(self) -> TemplateChoiceOptions:
        if self.keep > len(self.templates):
            remedy = f"there are {len(self.templates)} templates; keep at most that many"
            raise mistake(str(self.keep), remedy, "keep")
        return self


class SageOptions(TemplateChoiceOptions):
    """SAGE (AAAI 2026): the prompt template that tells the classes of an image apart best."""

    implementation: ClassVar[str] = "seraser_core.methods.sage:Sage"
    name: Literal["sage"] = "sage"
    spread: Literal["range", "top2"] = Field(
        default="range",
        description="What the kept templates have most of, in cosine similarity: range = largest "
        "class minus smallest, as published; top2 = largest minus second largest, which depends "
        "less on the least likely of many classes.",
    )


class SageRandomOptions(TemplateChoiceOptions):
    """The control of SAGE: templates drawn for every image, without looking at it."""

    implementation: ClassVar[str] = "seraser_core.methods.sage:SageRandom"
    name: Literal["sage_random"] = "sage_random"
