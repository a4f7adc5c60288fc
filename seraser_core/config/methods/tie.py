"""The options of TIE."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from seraser_core.config.methods.contexts import Contexts
from seraser_core.config.methods.method_options import MethodOptions, OtherSplit
from seraser_core.config.option_group import Options, mistake

_IMAGES = 10_000
"""Images of a split unless the options say how many: means over more differ by less than 0.001."""


class PoolOptions(Options):
    """The images over which TIE takes means; without any, each image is its own pool."""

    sample: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Number of images, drawn without labels from the data set, whose mean share "
        "of a context is taken out of all images. Default (`pool: self`): each image's own share; "
        f"with `split`, at most {_IMAGES:,} images.",
    )
    split: list[int | str] | None = Field(
        default=None,
        min_length=1,
        description="Draw them from this split instead, as `split: train`: a split of the "
        "benchmark, or values of the column dataset.split.column.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, data: Any) -> Any:
        if isinstance(data, str):
            if data != "self":
                raise mistake(repr(data), "write self, {sample: 1000} or {split: train}")
            return {}
        if isinstance(data, dict) and isinstance(data.get("split"), str | int):
            return {**data, "split": [data["split"]]}
        return data


class TieOptions(MethodOptions):
    """TIE* (ICLR 2025): take the image's context out of its feature, as far as the pool has it."""

    implementation: ClassVar[str] = "seraser_core.methods.tie:Tie"
    name: Literal["tie"] = "tie"
    contexts: Contexts
    pool: PoolOptions = Field(
        default_factory=PoolOptions, description="The pool, or `self`: each image is its own."
    )

    def other_split(self) -> OtherSplit | None:
        """See `MethodOptions.other_split`."""
        if self.pool.split is None:
            return None
        return OtherSplit(tuple(self.pool.split), self.pool.sample or _IMAGES)
