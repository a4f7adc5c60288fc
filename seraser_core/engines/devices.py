"""CUDA devices and processor cores that this process may use."""

from __future__ import annotations

import os
from itertools import takewhile


def visible_devices() -> list[str]:
    """Return the entries of CUDA_VISIBLE_DEVICES, or the indices of all devices without it.

    Entries are indices, UUIDs or parts of a GPU (MIG); CUDA itself stops at the first that is
    negative. CUDA is not initialised: a process that has done so keeps memory of a device.
    """
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        entries = (entry.strip() for entry in listed.split(","))
        return list(takewhile(lambda entry: entry and not entry.startswith("-"), entries))
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]
