"""Warnings of ``model.precision: auto``, which the machine that plans decides for all others."""

from __future__ import annotations

from seraser_core.config.options import ModelOptions


def slow_elsewhere(options: ModelOptions, planned: str, device: str) -> str | None:
    """Return a warning for a plan that others compute, if a GPU would have planned another.

    Args:
        options: The model.
        planned: The precision of the plan.
        device: Type of the device that planned, such as ``cpu``.
    """
    if (options.precision, options.device, planned, device) == ("auto", "auto", "fp32", "cpu"):
        return (
            "this machine has no GPU, so model.precision=auto became fp32, also for workers that "
            "have one: in bf16 they would be many times faster. To have that, plan where they are, "
            "or with model.precision=bf16, which makes another run; set fp32 to silence this "
            "warning"
        )
    return None


def slow_here(options: ModelOptions, planned: str, device: str) -> str | None:
    """Return a warning if the planning machine chose a precision that is slow on this one.

    Args:
        options: The model.
        planned: The precision of the plan.
        device: Type of the device that computes, such as ``cuda``.
    """
    if options.precision == "auto" and planned == "fp32" and device == "cuda":
        return (
            "this run was planned on a machine without a GPU, so its towers are computed in fp32; "
            "in bf16, this GPU would be many times faster. To have that, run it with "
            "model.precision=bf16, which makes another run; set fp32 to silence this warning"
        )
    return None
