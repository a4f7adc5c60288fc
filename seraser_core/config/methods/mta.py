"""The options of MTA."""

from __future__ import annotations

from typing import ClassVar, Literal

from seraser_core.config.methods.method_options import MethodOptions, Views


class MtaOptions(MethodOptions):
    """MTA, arXiv 2405.02266: the densest place among random crops that agree; no gradient."""

    implementation: ClassVar[str] = "seraser_core.methods.mta:Mta"
    name: Literal["mta"] = "mta"
    views: Views = 64
