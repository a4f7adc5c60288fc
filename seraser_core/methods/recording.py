"""Recording steps as CUDA graphs, one at a time, and releasing their memory."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol

import torch

from seraser_core.models import device

_WARM_UP = 2
"""Steps before recording, in which libraries choose their kernels."""
_recording = threading.Lock()
"""Held while recording, which only one thread may do, and while memory is released."""
_keepers: weakref.WeakSet[Keeper] = weakref.WeakSet()
_keepers_lock = threading.Lock()


class Keeper(Protocol):
    """Owner of recorded steps and of their memory."""

    def drop(self) -> None:
        """Drop them unless they are in use; never wait."""
        ...


def register(keeper: Keeper) -> None:
    """Have `release_memory` ask `keeper` for its memory, as long as it exists."""
    with _keepers_lock:
        _keepers.add(keeper)


class GraphRecorder:
    """Records steps as CUDA graphs that share their memory.

    Only one of them may run at a time, and none may leave anything in memory that was taken while
    it was recorded: the next one writes there.
    """

    def __init__(self) -> None:
        self._pool: Any = None  # opaque

    def __call__(self, step: Callable[[], None]) -> Callable[[], None]:
        """Record `step` on the current device.

        Returns:
            Replays it, on the same tensors.

        Raises:
            RuntimeError: It does something that cannot be recorded, or there is not enough memory.
        """
        with _recording:
            here = torch.device("cuda", torch.cuda.current_device())
            stream = device.stream("record", here)
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UP):
                    step()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            mode = "thread_local"
            with torch.cuda.graph(graph, self._pool, stream, capture_error_mode=mode):
                step()
            self._pool = graph.pool()
        return graph.replay


def release_memory() -> None:
    """Release memory that is kept only for speed: recorded steps and free blocks."""
    with _recording:
        with _keepers_lock:
            keepers = list(_keepers)
        for keeper in keepers:
            keeper.drop()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
