"""Building a network whose weights are loaded afterwards, without drawing random ones first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

_DRAWING: dict[Callable[..., Any], str] = {
    init.kaiming_uniform_: "",
    init.normal_: "mean",
    init.uniform_: "a",
    Tensor.normal_: "mean",
    Tensor.uniform_: "from",
    Tensor.erfinv_: "",  # of numbers just drawn
}
"""Function that draws weights; other ones use these -> its argument that it could draw, or none."""


class Undrawn(TorchFunctionMode):
    """Fills tensors with one value where they would be drawn at random, which takes seconds.

    It is a value that could be drawn, for some functions draw until one fits.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call `func`, or fill the tensor that it would draw."""
        given = dict(kwargs or {})
        if func not in _DRAWING:
            return func(*args, **given)
        tensor, *others = args or [given["tensor"]]
        with torch.no_grad():
            return tensor.fill_(others[0] if others else given.get(_DRAWING[func], 0))


@torch.no_grad()
def without_values(net: nn.Module) -> None:
    """Fill all weights with NaN: those that are not loaded afterwards are noticed."""
    for parameter in net.parameters():
        parameter.fill_(math.nan)
