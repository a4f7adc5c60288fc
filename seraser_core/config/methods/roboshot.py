"""The options of RoboShot."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

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

    @model_validator(mode="after")
    def _some(self) -> RoboshotOptions:
        if self.insights is not None:
            raise mistake("given beside reject or accept", "give one of them", "insights")
        if not self.reject and not self.accept:
            raise mistake("no pairs, and none in accept", "give at least one of either", "reject")
        return self
