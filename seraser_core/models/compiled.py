"""The part of a block behind attention, compiled: sums, norms and activation in few kernels."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from seraser_core.models.blocks import Block, Blocks, finish
from seraser_core.models.device import is_lost

logger = logging.getLogger(__name__)
Finish = Callable[[Block, Tensor, Tensor], tuple[Tensor, Tensor]]
"""As `Blocks.finish`."""


def compiled_finish(blocks: Blocks) -> Finish:
    """Return `blocks.finish`, compiled; as it is where that fails, which a warning says.

    One graph serves all blocks. It is tried at once: inside a CUDA graph it would be too late.
    """
    # The weights are parameters, whose sizes torch.compile takes as fixed: only the rows are open.
    work = torch.compile(finish, dynamic=True)

    def compiled(block: Block, x: Tensor, attended: Tensor) -> tuple[Tensor, Tensor]:
        return work(x, attended, block.tail, blocks.activation, blocks.eps)

    try:
        _try(compiled, blocks)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of compilers, linkers, drivers, file systems
        if is_lost(error):
            raise
        logger.warning("layers are computed without compiling them, which fails: %s", error)
        return blocks.finish
    return compiled


def _try(work: Finish, blocks: Blocks) -> None:
    """Do it with and without a gradient."""
    block = blocks.layers[0]
    like = block.tail.out.weight
    x, attended = (like.new_zeros(2, 5, like.shape[0]) for _ in range(2))
    with torch.no_grad():
        work(block, x, attended)
    with torch.enable_grad():
        x.requires_grad_()
        out, normed = work(block, x, attended)
        torch.autograd.grad((out + normed).sum(), x)
