"""Settings of CUDA devices, and the streams that a process has once per device."""

from __future__ import annotations

import threading
from typing import Literal

import torch

_STREAMS = {"copy": -1, "record": 0}
"""Use -> priority. Torch takes streams of a priority from one pool in turn, and gives the same one
out again: of another priority, no copy lands in a graph that is being recorded."""
_streams: dict[tuple[str, int], torch.cuda.Stream] = {}
_streams_lock = threading.Lock()
_LOST = (
    "busy or unavailable",
    "no cuda-capable device is detected",
    "uncorrectable ecc error",
    "uncorrectable nvlink error",
    "invalid access of peer gpu memory",
    "an illegal memory access",
    "launch timed out",
    "context is destroyed",
    "device-side assert",
    "hardware stack error",
    "an illegal instruction",
    "misaligned address",
    "not supported on global/shared address space",
    "invalid program counter",
    "unspecified launch failure",
    "tensor memory not completely freed",
    "mps client has been terminated",
    "async error has occur",
    "cuda error: unknown error",
    "cublas_status_execution_failed",
    "cudnn_status_execution_failed",
)
"""Parts of CUDA's messages after which every further call of the process fails."""


def prepare(device: torch.device) -> None:
    """Turn off imprecise and nondeterministic kernels.

    Attention by cuDNN has no repeatable backward pass, has given NaN in gradients under a mask, and
    makes a plan for every shape. TF32 keeps 10 bits of fp32's 23, in convolutions by default. And
    bf16 products may be summed in bf16.
    """
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def stream(use: Literal["copy", "record"], device: torch.device) -> torch.cuda.Stream:
    """The only stream of a CUDA device for one use.

    Blocks of memory belong to the stream that they were taken for: many would strand gigabytes.
    """
    index = torch.cuda.current_device() if device.index is None else device.index
    with _streams_lock:
        if (use, index) not in _streams:
            _streams[use, index] = torch.cuda.Stream(index, priority=_STREAMS[use])
        return _streams[use, index]


def is_lost(error: BaseException) -> bool:
    """Return whether a process that saw `error` can no longer use its CUDA device."""
    if not isinstance(error, RuntimeError):
        return False
    text = str(error).lower()
    return any(sign in text for sign in _LOST)
