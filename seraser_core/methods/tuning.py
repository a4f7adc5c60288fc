"""Tuning prompts: AdamW on one block of tokens per image, all images of a batch at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Losses = Callable[[Tensor, Mapping[str, Tensor]], Tensor]
"""Prompts (B, n, d) and tensors whose first dimension is B -> the loss of each image, (B,)."""
Record = Callable[[Callable[[], None]], Callable[[], None]]
"""From one step to something that repeats it on the same tensors."""


@dataclass(frozen=True)
class Tuned:
    """Prompts after tuning.

    Attributes:
        prompt: (B, n, d) float32.
        loss_first: (B,) float32, the loss of the initial prompt; None when no step was made.
    """

    prompt: Tensor
    loss_first: Tensor | None


class PromptTuner:
    """AdamW (betas 0.9 and 0.999, eps 1e-8) on the prompt of every image.

    The B prompts are one tensor whose losses are summed: AdamW works element by element, so this
    equals B separate runs.

    On CUDA devices a step on tensors of shapes that come twice in a row is recorded as a CUDA graph
    and replayed, so that the processor, which starts some thousand kernels per step, is not waited
    for. Nothing in a step reads a value back from the device.

    Args:
        losses: The losses. They must depend on nothing but their arguments and constants.
        steps: Number of steps.
        lr: Learning rate.
        weight_decay: Decoupled weight decay.
        record: How steps are recorded; by default with a CUDA graph on CUDA devices, else not.
    """

    def __init__(
        self,
        losses: Losses,
        steps: int,
        lr: float,
        weight_decay: float,
        record: Record | None = None,
    ) -> None:
        self._losses, self._steps = losses, steps
        self._lr, self._weight_decay = lr, weight_decay
        self._record = record
        self._recorded: _Loop | None = None
        self._seen: tuple[object, ...] | None = None
        self._lock = threading.Lock()

    def tune(self, initial: Tensor, inputs: Mapping[str, Tensor]) -> Tuned:
        """Tune from `initial`, (B, n, d), which is left as it is."""
        if not self._steps:
            return Tuned(initial.detach().clone(), None)
        record = self._record or (_cuda_graph if initial.is_cuda else None)
        if record is None:
            return _Loop(self, initial, inputs).run(self._steps)
        with self._lock:  # the tensors of a recorded step belong to one batch at a time
            shapes = _shapes(initial, inputs)
            came_back, self._seen = self._seen == shapes, shapes
            if self._recorded is not None and self._recorded.shapes == shapes:
                self._recorded.load(initial, inputs)
                return self._recorded.run(self._steps)
            if not came_back:  # the smaller rest of a batch, or a shard, is between larger ones
                return _Loop(self, initial, inputs).run(self._steps)
            self._recorded = None  # first, since its memory is as much
            loop = _Loop(self, initial, inputs)
            loop.record(record)
            loop.load(initial, inputs)
            self._recorded = loop
            return loop.run(self._steps)

    def losses(self, prompt: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """The losses (B,) of `prompt`."""
        return self._losses(prompt, inputs)

    def optimiser(self, prompt: Tensor) -> torch.optim.AdamW:
        """AdamW on `prompt`, whose steps can be recorded."""
        return torch.optim.AdamW(
            [prompt],
            lr=self._lr,
            betas=(0.9, 0.999),
            eps=1e-8,
            weight_decay=self._weight_decay,
            fused=True,
            capturable=prompt.is_cuda,
        )


class _Loop:
    """The tensors of one batch and the step that changes them."""

    def __init__(self, tuner: PromptTuner, initial: Tensor, inputs: Mapping[str, Tensor]) -> None:
        self.shapes = _shapes(initial, inputs)
        self._tuner = tuner
        self._inputs = dict(inputs)
        self._prompt = initial.detach().clone().requires_grad_()
        self._optimiser = tuner.optimiser(self._prompt)
        self._loss = initial.new_empty(len(initial))
        self._step: Callable[[], None] = self._make_step

    def _make_step(self) -> None:
        with torch.enable_grad():
            loss = self._tuner.losses(self._prompt, self._inputs)
        (self._prompt.grad,) = torch.autograd.grad(loss.sum(), self._prompt)
        self._loss = loss.detach()
        self._optimiser.step()

    def record(self, record: Record) -> None:
        """Record the step on tensors of its own."""
        self._inputs = {name: tensor.clone() for name, tensor in self._inputs.items()}
        with torch.cuda.device_of(self._prompt):
            self._step = record(self._make_step)

    def load(self, initial: Tensor, inputs: Mapping[str, Tensor]) -> None:
        """Put another batch into the recorded step's tensors, and begin anew."""
        with torch.no_grad():
            self._prompt.copy_(initial)
            for name, tensor in inputs.items():
                self._inputs[name].copy_(tensor)
            for state in self._optimiser.state.values():
                for value in state.values():
                    value.zero_()

    def run(self, steps: int) -> Tuned:
        """Make `steps` steps."""
        self._step()
        first = self._loss.clone()
        for _ in range(steps - 1):
            self._step()
        return Tuned(self._prompt.detach().clone(), first)


def _shapes(initial: Tensor, inputs: Mapping[str, Tensor]) -> tuple[object, ...]:
    return (initial.shape, *((name, tensor.shape) for name, tensor in sorted(inputs.items())))


def _cuda_graph(step: Callable[[], None]) -> Callable[[], None]:
    """Record `step` as a CUDA graph; the first calls let libraries choose their kernels."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        step()
    return graph.replay
