"""The options of RoboShot."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from seraser_core.config.methods.contexts import CONTEXTS_HELP, Contexts
from seraser_core.config.methods.method_options import MethodOptions
from seraser_core.config.option_group import mistake


class RoboshotOptions(MethodOptions):
    """RoboShot, arXiv 2309.04344: project image features by insights, given as pairs of texts."""

    implementation: ClassVar[str] = "seraser_core.methods.roboshot:Roboshot"
    name: Literal["roboshot"] = "roboshot"
    reject: list[tuple[str, str]] = Field(
        default_factory=list,
        description="Pairs of texts whose difference is removed, e.g. [[a photo of a desert, a "
        "photo of a forest]].",
    )
    accept: list[tuple[str, str]] = Field(
        default_factory=list, description="Pairs of texts whose difference is amplified."
    )
    insights: str | None = Field(
        default=None, description="Instead of both: a YAML file with `reject` and `accept`."
    )
    contexts: Contexts | None = Field(
        default=None,
        description=f"Reject the differences of the others from the first. {CONTEXTS_HELP}",
    )

    @model_validator(mode="after")
    def _some(self) -> RoboshotOptions:
        if self.insights is not None:
            raise mistake("given beside reject or accept", "give one of them", "insights")
        if self.contexts and len(self.contexts) == 1:
            raise mistake(repr(self.contexts), "give at least two, or pairs of texts", "contexts")
        if not self.reject and not self.accept and not self.contexts:
            remedy = "give at least one of either, or contexts"
            raise mistake("no pairs, and none in accept", remedy, "reject")
        return self

    def rejected(self) -> list[tuple[str, str]]:
        """All pairs whose difference is removed."""
        first, *others = self.contexts or [""]
        return [*self.reject, *((first, other) for other in others)]
