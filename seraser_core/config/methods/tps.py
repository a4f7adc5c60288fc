"""The options of TPS."""

from __future__ import annotations

from typing import ClassVar, Literal

from seraser_core.config.methods.method_options import MethodOptions, Views


class TpsOptions(MethodOptions):
    """TPS, arXiv 2403.12952: shift class features by one step until random crops agree."""

    implementation: ClassVar[str] = "seraser_core.methods.tps:Tps"
    name: Literal["tps"] = "tps"
    views: Views = 64
