"""Tuning prompts: AdamW on one block of tokens per image, all images of a batch at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from seraser_core.methods.recording import record_graph, register
from seraser_core.models.device import is_lost
from seraser_core.models.memory import is_out_of_memory
from seraser_core.steps import reached

logger = logging.getLogger(__name__)
_unrecordable = threading.Event()
"""Set once recording has failed in this process; it is not tried again."""
Losses = Callable[[Tensor, Mapping[str, Tensor]], Tensor]
"""Prompts (B, n, d) and tensors whose first dimension is B -> the loss of each image, (B,)."""
Record = Callable[[Callable[[], None]], Callable[[], None]]
"""Turns one step into a function that repeats it on the same tensors."""


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
    for. Nothing in a step reads a value back from the device. Where recording fails, every step is
    started by itself, with the same results.

    Args:
        losses: The losses. They must depend on nothing but their arguments and constants.
        steps: Number of steps.
        lr: Learning rate.
        weight_decay: Decoupled weight decay.
        record: Recorder of steps; by default CUDA graphs on CUDA devices, else none.
    """

    def __init__(
        self,
        losses: Losses,
        steps: int,
        lr: float,
        weight_decay: float,
        record: Record | None = None,
    ) -> None:
        self.losses, self._steps = losses, steps
        self._lr, self._weight_decay = lr, weight_decay
        self._record = record
        self._recorded: _Loop | None = None
        self._seen: tuple[object, ...] | None = None
        self._too_large: set[tuple[object, ...]] = set()
        self._lock = threading.Lock()
        register(self)

    def tune(self, initial: Tensor, inputs: Mapping[str, Tensor]) -> Tuned:
        """Tune from `initial`, (B, n, d), which is left as it is."""
        if not self._steps:
            return Tuned(initial.detach().clone(), None)
        record = self._record or (record_graph if initial.is_cuda else None)
        if record is None or _unrecordable.is_set():
            return _Loop(self, initial, inputs).run(self._steps)
        with self._lock:  # the tensors of a recorded step belong to one batch at a time
            try:
                loop = self._loop(record, initial, inputs) or _Loop(self, initial, inputs)
                return loop.run(self._steps)
            except BaseException:
                self._recorded = self._seen = None
                raise

    def drop(self) -> None:
        """Drop the recorded step unless a batch uses it."""
        if self._lock.acquire(blocking=False):
            try:
                self._recorded = None
            finally:
                self._lock.release()

    def _loop(self, record: Record, initial: Tensor, inputs: Mapping[str, Tensor]) -> _Loop | None:
        """Return the recorded step, loaded with this batch; None if steps are not recorded."""
        shapes = _shapes(initial, inputs)
        came_back, self._seen = self._seen == shapes, shapes
        if self._recorded is None or self._recorded.shapes != shapes:
            # A smaller last batch comes between larger ones.
            if not came_back or shapes in self._too_large:
                return None
            self._recorded = None  # first, since it takes as much memory
            try:
                loop = _Loop(self, initial, inputs)
                loop.record(record)
            except RuntimeError as error:
                if is_out_of_memory(error):  # a step that is not recorded takes less
                    self._too_large.add(shapes)
                    raise
                if is_lost(error):
                    raise
                _unrecordable.set()
                logger.warning(
                    "tuning steps cannot be recorded on this device (%s); going on without "
                    "recording, which is slower",
                    str(error).partition("\n")[0],
                )
                return None
            self._recorded = loop
        self._recorded.load(initial, inputs)
        return self._recorded

    def optimiser(self, prompt: Tensor) -> torch.optim.AdamW:
        """AdamW on `prompt`."""
        return torch.optim.AdamW(
            [prompt],
            lr=self._lr,
            betas=(0.9, 0.999),
            eps=1e-8,
            weight_decay=self._weight_decay,
            fused=True,
        )


class _Loop:
    """The tensors of one batch and the step that changes them."""

    def __init__(self, tuner: PromptTuner, initial: Tensor, inputs: Mapping[str, Tensor]) -> None:
        self.shapes = _shapes(initial, inputs)
        self._losses = tuner.losses
        self._inputs = dict(inputs)
        self._prompt = initial.detach().clone().requires_grad_()
        self._optimiser = tuner.optimiser(self._prompt)
        self._loss = initial.new_empty(len(initial))
        self._step: Callable[[], None] | None = None

    def _make_step(self) -> None:
        with torch.enable_grad():
            loss = self._losses(self._prompt, self._inputs)
        (self._prompt.grad,) = torch.autograd.grad(loss.sum(), self._prompt)
        self._loss = loss.detach()
        # For other steps, torch would only warn that they are not recorded.
        capturing = self._prompt.is_cuda and torch.cuda.is_current_stream_capturing()
        self._optimiser.param_groups[0]["capturable"] = capturing
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
        step = self._step or self._make_step
        step()
        reached("tuned")
        first = self._loss.clone()
        for _ in range(steps - 1):
            step()
            reached("tuned")
        return Tuned(self._prompt.detach().clone(), first)


def _shapes(initial: Tensor, inputs: Mapping[str, Tensor]) -> tuple[object, ...]:
    return (initial.shape, *((name, tensor.shape) for name, tensor in sorted(inputs.items())))
