"""CUDA devices and processor cores that this process may use."""

from __future__ import annotations

import os
from itertools import takewhile

from seraser_core.errors import ConfigError


def visible_devices() -> list[str]:
    """Return the entries of CUDA_VISIBLE_DEVICES, or the indices of all devices without it.

    Entries are indices, UUIDs or parts of a GPU (MIG); CUDA itself stops at the first that is
    negative. CUDA is not initialised: a process that has done so keeps memory of a device.

    Raises:
        ConfigError: A device is named twice.
    """
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        entries = (entry.strip() for entry in listed.split(","))
        devices = list(takewhile(lambda entry: entry and not entry.startswith("-"), entries))
        again = next((one for i, one in enumerate(devices) if one in devices[:i]), None)
        if again is not None:
            raise ConfigError(
                "CUDA_VISIBLE_DEVICES",
                listed,
                f"name each device once; where one stands twice ({again}), CUDA finds none at all",
            )
        return devices
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]
