"""What the figures are measured with: the clock, the memory, and the machine's own rate."""

from __future__ import annotations

import platform
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from seraser_core.models.linear import Linear

_RATE_SECONDS = 4.0


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Wall time of `work`, the device's part included."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Multiply-adds per second of a large matrix product: the best of several within seconds.

    Of torch's own product, and of oneDNN's where that is used: the faster one counts.
    """
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    frozen = Linear(b, None)
    took: list[float] = []
    while len(took) < 16 and sum(took) < _RATE_SECONDS:
        took += [seconds(lambda: a @ b, device), seconds(lambda: frozen(a), device)]
    return size**3 / min(took)


def peak_bytes(device: torch.device) -> int:
    """Most memory so far: of the CUDA device what torch allocated, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss, which begins with what the parent process had.
        return int(re.findall(r"VmHWM:\s*(\d+) kB", status.read_text())[0]) * 1024
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def available_bytes(device: torch.device) -> int:
    """Memory that can still be had."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def machine(device: str = "auto") -> dict[str, Any]:
    """The machine that the figures belong to; `device` as in `ModelOptions`."""
    on_cuda = device != "cpu" and torch.cuda.is_available()
    name = torch.cuda.get_device_name() if on_cuda else _processor()
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()
