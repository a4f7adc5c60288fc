"""Folding QuickGELU into the weights around it."""

from __future__ import annotations

import torch
from open_clip.transformer import QuickGELU
from torch import nn

_SLOPE = 1.702
_CHILDREN = ("c_fc", "gelu", "c_proj")


@torch.no_grad()
def fold_quick_gelu(net: nn.Module) -> None:
    """Replace QuickGELU by SiLU in every block of open_clip's transformers, in place.

    QuickGELU (arXiv 1606.08415, section 2) is x sigmoid(a x) = silu(a x) / a, with a = 1.702. With
    a in the weights before it and 1 / a in those behind it, one kernel does the work of three, and
    half as much is kept for the backward pass.

    Args:
        net: A model in fp32: in bf16 the weights would be rounded twice.
    """
    for module in net.modules():
        children = {
            name: child
            for name, child in module.named_children()
            if not isinstance(child, nn.Identity)
        }
        if tuple(children) != _CHILDREN or type(children["gelu"]) is not QuickGELU:
            continue
        before, behind = children["c_fc"], children["c_proj"]
        if not (isinstance(before, nn.Linear) and isinstance(behind, nn.Linear)):
            continue
        for tensor in before.parameters():
            tensor.mul_(_SLOPE)
        behind.weight.div_(_SLOPE)
        module.gelu = nn.SiLU()
