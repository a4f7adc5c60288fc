"""Settings of CUDA devices, and their permanent faults; no device is needed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import torch

from seraser_core.config.options import ModelOptions
from seraser_core.models import device
from seraser_core.models.memory import is_out_of_memory, view_budget
from seraser_core.runner.precision import slow_elsewhere, slow_here

CUDA, CPU = torch.device("cuda", 1), torch.device("cpu")
LOST = [
    "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ...",
    "CUDA error: unspecified launch failure",
    "CUDA error: device-side assert triggered",
    "CUDA error: uncorrectable ECC error encountered",
    "CUDA error: uncorrectable NVLink error detected during the execution",
    "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
    "CUDA error: misaligned address",
    "CUDA error: unknown error",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx( handle, opa, opb)`",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
]
NOT_LOST = [
    "CUDA error: out of memory",
    "CUDA error: invalid argument",
    "CUDA error: operation not permitted when stream is capturing",
    "CUDA error: operation failed due to a previous error during capture",
    "CUDA error: no kernel image is available for execution on the device",
    "CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "mat1 and mat2 shapes cannot be multiplied",
]


@pytest.fixture
def switches():
    """Reads the switches of torch; they are as before afterwards."""
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn

    def read():
        return {
            "cudnn attention": cuda.cudnn_sdp_enabled(),
            "cudnn tf32": cudnn.allow_tf32,
            "tf32": cuda.matmul.allow_tf32,
            "bf16 sums": cuda.matmul.allow_bf16_reduced_precision_reduction,
        }

    before = read()
    yield read
    cuda.enable_cudnn_sdp(before["cudnn attention"])
    cudnn.allow_tf32 = before["cudnn tf32"]
    cuda.matmul.allow_tf32 = before["tf32"]
    cuda.matmul.allow_bf16_reduced_precision_reduction = before["bf16 sums"]


def test_fp32_is_fp32_and_attention_repeatable_on_cuda_devices(switches):
    torch.backends.cuda.matmul.allow_tf32 = True  # as another library may have
    before = switches()
    assert all(before.values())
    device.prepare(CPU)
    assert switches() == before
    device.prepare(CUDA)
    assert not any(switches().values())


@pytest.fixture
def streams(monkeypatch):
    """(device, priority) of the streams that are made."""
    made = []

    class Stream:
        def __init__(self, index, priority):
            made.append((index, priority))

    monkeypatch.setattr(device, "_streams", {})
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    return made


def test_there_is_one_stream_per_device_and_use(streams):
    with ThreadPoolExecutor(8) as pool:
        copies = set(pool.map(lambda _: device.stream("copy", CUDA), range(64)))
    assert len(copies) == 1
    assert device.stream("copy", torch.device("cuda")) in copies, "the current device"
    assert device.stream("copy", torch.device("cuda", 0)) not in copies
    assert device.stream("record", CUDA) not in copies
    assert streams == [(1, -1), (0, -1), (1, 0)]


@pytest.mark.parametrize("message", LOST)
def test_faults_that_spoil_a_process(message):
    assert device.is_lost(RuntimeError(message))
    assert device.is_lost(torch.AcceleratorError(message))
    assert not device.is_lost(ValueError(message))
    assert not is_out_of_memory(RuntimeError(message))


@pytest.mark.parametrize("message", NOT_LOST)
def test_faults_that_do_not(message):
    assert not device.is_lost(RuntimeError(message))


def test_a_precision_that_a_machine_without_a_gpu_chose_is_said():
    auto, fp32 = ModelOptions(), ModelOptions(precision="fp32")
    assert "model.precision=bf16" in str(slow_here(auto, "fp32", "cuda"))
    assert slow_here(auto, "fp32", "cpu") is None
    assert slow_here(auto, "bf16", "cuda") is None
    assert slow_here(fp32, "fp32", "cuda") is None
    assert "model.precision=bf16" in str(slow_elsewhere(auto, "fp32", "cpu"))
    assert slow_elsewhere(auto, "bf16", "cuda") is None
    assert slow_elsewhere(fp32, "fp32", "cpu") is None
    assert slow_elsewhere(ModelOptions(device="cpu"), "fp32", "cpu") is None, "workers have none"


@pytest.mark.parametrize(
    ("gib", "of_a_gpu", "of_a_cpu"),
    [(8, 512, 512), (16, 1024, 512), (128, 2048, 512), (4, 256, 256)],
)
def test_views_that_wait_take_a_small_part_of_the_machine(monkeypatch, gib, of_a_gpu, of_a_cpu):
    memory = type("Memory", (), {"total": gib * 2**30})()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert view_budget(CUDA) == of_a_gpu * 2**20
    assert view_budget(CPU) == of_a_cpu * 2**20
