"""Memory that work on a device may take."""

from __future__ import annotations

import psutil
import torch

_SHARE = {"cpu": 0.25, "cuda": 0.6}
"""Share for graphs; the rest is for weights, waiting pictures and temporary tensors."""
_MOST_VIEW_BYTES = {"cpu": 512 * 2**20, "cuda": 2 * 2**30}
_VIEW_SHARE = 1 / 16
"""Share of the machine's memory for the views of a batch; up to three batches are there at once."""
_PACKED_SHARE = 1 / 8
_SIGNS = (
    *("can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED"),
    "could not create a primitive",  # oneDNN's word
)


def memory_budget(device: torch.device) -> int:
    """Bytes that the graphs of a batch may keep.

    Made from the device's whole memory, not from what is free at the moment: so it is the same in
    every run, and results are equal to the last bit.
    """
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
    else:
        total = psutil.virtual_memory().total
    return int(total * _SHARE[device.type])


def view_budget(device: torch.device) -> int:
    """Bytes that the views of a batch may take, which are made beside the device.

    As of `memory_budget`, the same in every run on a machine.
    """
    total = psutil.virtual_memory().total
    return min(_MOST_VIEW_BYTES[device.type], int(total * _VIEW_SHARE))


def packing_budget() -> int:
    """Bytes of weights of a tower that may be kept a second time, in another order."""
    return int(psutil.virtual_memory().total * _PACKED_SHARE)


def begin_peak(device: torch.device) -> None:
    """Begin to watch how much memory of a GPU is in use at most."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int | None:
    """Most bytes of a GPU that this process used since `begin_peak`; None of a CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` says that memory ran out, the device's or the machine's."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(sign in str(error) for sign in _SIGNS)
