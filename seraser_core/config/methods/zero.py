"""The options of ZERO."""

from __future__ import annotations

from typing import ClassVar, Literal

from seraser_core.config.methods.method_options import MethodOptions, Views


class ZeroOptions(MethodOptions):
    """ZERO, arXiv 2405.18330: the vote of confident random crops; no gradient."""

    implementation: ClassVar[str] = "seraser_core.methods.zero:Zero"
    name: Literal["zero"] = "zero"
    views: Views = 64
