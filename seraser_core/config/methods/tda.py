"""The options of TDA."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from seraser_core.config.methods.method_options import MethodOptions


class TdaOptions(MethodOptions):
    """TDA (CVPR 2024): caches of confident features; needs order, so every shard begins anew."""

    implementation: ClassVar[str] = "seraser_core.methods.tda:Tda"
    name: Literal["tda"] = "tda"
    orders: int = Field(
        default=0,
        ge=0,
        le=100,
        description="Other, shuffled orders of a shard's images in which accuracy is measured "
        "beside the shard's own order, which remains that of the predictions.",
    )
    positive_shots: int = Field(
        default=3, ge=0, le=10_000, description="Features kept per predicted class."
    )
    positive_alpha: float = Field(default=2.0, ge=0, description="Weight of the positive cache.")
    positive_beta: float = Field(
        default=5.0,
        ge=0,
        description="Sharpness of the cache: how fast weights fall with distance.",
    )
    negative_shots: int = Field(
        default=2, ge=0, le=10_000, description="Undecided features kept per predicted class."
    )
    negative_alpha: float = Field(default=0.117, ge=0, description="Weight of the negative cache.")
    negative_beta: float = Field(
        default=1.0,
        ge=0,
        description="Sharpness of the cache: how fast weights fall with distance.",
    )
    negative_entropy: tuple[float, float] = Field(
        default=(0.2, 0.5),
        description="An image is undecided if H / log2(C), H in nats, lies between these.",
    )
    negative_mask: tuple[float, float] = Field(
        default=(0.03, 1.0),
        description="Classes count against an image if their probability in the negative "
        "cache lies between these.",
    )
