"""The options of TIE."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from seraser_core.config.methods.contexts import Contexts
from seraser_core.config.methods.method_options import MethodOptions
from seraser_core.config.option_group import Options, mistake


class PoolOptions(Options):
    """The images over which TIE takes means; without any, each image is its own pool."""

    sample: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Number of images, drawn without labels from the data set, whose mean share "
        "of a context is taken out of all images. Default (`pool: self`): each image's own share.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, data: Any) -> Any:
        if isinstance(data, str):
            if data != "self":
                raise mistake(repr(data), "write self or {sample: 1000}")
            return {}
        return data


class TieOptions(MethodOptions):
    """TIE* (ICLR 2025): take the image's context out of its feature, as far as the pool has it."""

    implementation: ClassVar[str] = "seraser_core.methods.tie:Tie"
    name: Literal["tie"] = "tie"
    contexts: Contexts
    pool: PoolOptions = Field(
        default_factory=PoolOptions, description="The pool, or `self`: each image is its own."
    )
