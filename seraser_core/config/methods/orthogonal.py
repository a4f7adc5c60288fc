"""The options of the projections of prompts."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from seraser_core.config.methods.contexts import Contexts
from seraser_core.config.methods.method_options import MethodOptions


class OrthProjOptions(MethodOptions):
    """Prompts projected away from those of contexts, arXiv 2302.00070; the image stays as it is."""

    implementation: ClassVar[str] = "seraser_core.methods.orthogonal:OrthProj"
    name: Literal["orth_proj"] = "orth_proj"
    contexts: Contexts


class OrthCaliOptions(MethodOptions):
    """`orth_proj`, calibrated: a class's prompts in two contexts are drawn together."""

    implementation: ClassVar[str] = "seraser_core.methods.orthogonal:OrthCali"
    name: Literal["orth_cali"] = "orth_cali"
    contexts: Contexts
    pairs: list[tuple[str, str]] | None = Field(
        default=None,
        min_length=1,
        description="Pairs of whole prompts of one class in two contexts; a list, or a YAML file "
        "with `pairs`. Default: all pairs of contexts of every class, as `<class> <context>`.",
    )
    strength: float = Field(
        default=1000.0,
        ge=0,
        le=1e9,
        description="How strongly the prompts of a pair are drawn together; 0 is `orth_proj`.",
    )
