"""Base of the options of all methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from seraser_core.config.option_group import Options
from seraser_core.kinds import KINDS, Region


@dataclass(frozen=True)
class OtherSplit:
    """Another split of the data set, from which a method learns.

    Attributes:
        values: As in `dataset.split`.
        images: At most so many of its images are drawn.
    """

    values: tuple[int | str, ...]
    images: int


class MethodOptions(Options):
    """Options that every method has.

    A subclass gives `name` a type of one literal, which is its default as well. The first line of
    its docstring is what `seraser methods` says of the method.

    Attributes:
        implementation: Class of the method, as ``package.module:Class``; see
            `seraser_core.methods.Method`. It is imported when a run is planned, not before.
    """

    implementation: ClassVar[str]
    name: str = Field(description="The method, see `seraser methods`.")
    id: str = Field(
        default="",
        description="Name in the results; default: the method's name.",
        pattern=r"^[A-Za-z0-9_.+-]*$",
    )

    @classmethod
    def summary(cls) -> str:
        """Return in one line what the method does."""
        return (cls.__doc__ or "").strip().splitlines()[0]

    def regions(self) -> tuple[Region, ...]:
        """Return the foregrounds that the method needs: those of its option `auxiliary`, if any."""
        kind: str | None = getattr(self, "auxiliary", None)
        return () if kind is None else KINDS[kind].regions

    def other_split(self) -> OtherSplit | None:
        """Return the split that the method learns from, if that is not the one it classifies."""
        return None

    @model_validator(mode="before")
    @classmethod
    def _default_id(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("id"):
            return {**data, "id": data.get("name") or cls.model_fields["name"].default}
        return data


Views = Annotated[
    int,
    Field(ge=2, le=1024, description="Number of views: the image and random crops of it."),
]
