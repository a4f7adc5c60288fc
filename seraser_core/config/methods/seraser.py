"""The options of SEraser."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from seraser_core.config.auxiliary import AuxiliaryKind
from seraser_core.config.methods.method_options import MethodOptions

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"kl": "p_u", "foreground": "none"},
    "reference": {"kl": "u_p", "foreground": "entropy"},
    "preserve": {"kl": "u_p", "foreground": "preserve"},
}


class EraseOptions(MethodOptions):
    """Options of the methods that erase what auxiliary images show."""

    preset: Literal["paper", "reference", "preserve"] = Field(
        default="reference",
        description="paper: KL(p||U), no foreground term; reference: KL(U||p) and entropy on the "
        "foreground; preserve: KL(U||p) and KL to the untouched prediction on the foreground. "
        "Options given beside the preset override it.",
    )
    kl: Literal["u_p", "p_u"] = Field(
        default="u_p", description="Erase term: u_p = KL(U||p), p_u = KL(p||U)."
    )
    foreground: Literal["none", "entropy", "preserve"] = Field(
        default="entropy",
        description="Foreground term: none, entropy H(p(x_f)), or preserve KL(p0(x_f)||p(x_f)).",
    )
    pseudo_label: bool = Field(default=False, description="Add CE(p(x), argmax p(x_f)).")
    auxiliary: AuxiliaryKind = Field(
        default="mask", description="Kind of auxiliary images that hold only the spurious part."
    )
    steps: int = Field(default=20, ge=0, le=100_000, description="AdamW steps.")
    lr: float = Field(default=5e-4, gt=0, le=1e3, description="AdamW learning rate.")
    weight_decay: float = Field(default=0.01, ge=0, le=1e3, description="AdamW weight decay.")
    context_tokens: int = Field(
        default=3, ge=1, description="Tuned prompt tokens, from position 1."
    )

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {**PRESETS.get(str(data.get("preset", "reference")), {}), **data}


class SeraserOptions(EraseOptions):
    """SEraser, arXiv 2403.00376: tune prompt tokens until auxiliary images are undecided."""

    implementation: ClassVar[str] = "seraser_core.methods.seraser:Seraser"
    name: Literal["seraser"] = "seraser"
