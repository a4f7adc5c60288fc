"""Views of a batch in one piece on the model's device, filled part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor

from seraser_core.kinds import View

PART_BYTES = 32 * 2**20
"""Views that are stacked at once: of large batches, no second copy waits in memory."""


class Stack:
    """The views of some images, one tensor per view.

    On a CUDA device the parts are copied beside its work: from pinned memory, on a stream of their
    own. No operation starts torch's threads in the calling one, where they would slow those of the
    model.

    Args:
        views: The views.
        room: Images, at most.
        device: The model's device.
        copies: Its stream for copies; None on the CPU.
    """

    def __init__(
        self,
        views: Sequence[View],
        room: int,
        device: torch.device,
        copies: torch.cuda.Stream | None,
    ) -> None:
        self._views, self._room, self._device, self._copies = views, room, device, copies
        self._stacked: dict[str, Tensor] = {}
        self._count = 0

    def add(self, samples: Sequence[Mapping[str, np.ndarray]]) -> None:
        """Copy the views of further images; their memory is free afterwards.

        Args:
            samples: View name -> (K, 3, H, W) uint8.
        """
        if not samples:
            return
        start, self._count = self._count, self._count + len(samples)
        with nullcontext() if self._copies is None else torch.cuda.stream(self._copies):
            for view in self._views:
                of_view = [sample[view.name] for sample in samples]
                if view.name not in self._stacked:
                    self._stacked[view.name] = self._empty((self._room, *of_view[0].shape))
                part = self._stacked[view.name][start : self._count]
                if self._copies is None:
                    np.stack(of_view, out=part.numpy())
                else:
                    pinned = torch.empty(part.shape, dtype=torch.uint8, pin_memory=True)
                    np.stack(of_view, out=pinned.numpy())
                    part.copy_(pinned, non_blocking=True)

    def _empty(self, shape: tuple[int, ...]) -> Tensor:
        if self._copies is None:  # NumPy asks the system for large pages, which torch does not
            return torch.from_numpy(np.empty(shape, dtype=np.uint8))
        return torch.empty(shape, dtype=torch.uint8, device=self._device)

    def views(self) -> dict[str, Tensor]:
        """View name -> (S, K, 3, H, W) uint8 of the S images that were added."""
        return {name: stacked[: self._count] for name, stacked in self._stacked.items()}
