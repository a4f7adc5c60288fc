"""Tuning prompts: AdamW on one block of tokens per image, all images of a batch at once."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from seraser_core.methods.recording import GraphRecorder, register
from seraser_core.models.batches import kept_size
from seraser_core.models.device import is_lost
from seraser_core.models.memory import is_out_of_memory
from seraser_core.steps import reached

logger = logging.getLogger(__name__)
_MOST_RECORDED = 8
"""Steps of different sizes that a tuner keeps; they share their memory."""
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

    On CUDA devices a step is recorded as a CUDA graph and replayed, so that the processor, which
    starts some hundred kernels per step, is not waited for. Batches are filled up to one of few
    sizes, so that their steps are recorded already: see `kept_size`. The size depends on the batch
    alone, for results must not depend on what came before. Nothing in a step reads a value back
    from the device. Where recording fails, every step is started by itself, with the same results.

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
        self._given = record
        self._graphs = GraphRecorder()
        self._recorded: OrderedDict[tuple[object, ...], _Loop] = OrderedDict()
        self._too_large: set[tuple[object, ...]] = set()
        self._lock = threading.Lock()
        register(self)

    def tune(self, initial: Tensor, inputs: Mapping[str, Tensor]) -> Tuned:
        """Tune from `initial`, (B, n, d), which is left as it is."""
        if not self._steps:
            return Tuned(initial.detach().clone(), None)
        if not (self._given or initial.is_cuda):
            return _Loop(self, initial, inputs).run(self._steps)
        count = len(initial)
        more = kept_size(count) - count
        initial = _filled(initial, more)
        inputs = {name: _filled(tensor, more) for name, tensor in inputs.items()}
        with self._lock:  # the tensors of a recorded step belong to one batch at a time
            try:
                loop = self._loop(initial, inputs) or _Loop(self, initial, inputs)
                tuned = loop.run(self._steps)
            except BaseException:
                self._forget()
                raise
        first = None if tuned.loss_first is None else tuned.loss_first[:count]
        return Tuned(tuned.prompt[:count], first)

    def drop(self) -> None:
        """Drop the recorded steps unless a batch uses one."""
        if self._lock.acquire(blocking=False):
            try:
                self._forget()
            finally:
                self._lock.release()

    def _forget(self) -> None:
        self._recorded.clear()
        self._graphs = GraphRecorder()  # the memory of the other one is gone

    def _loop(self, initial: Tensor, inputs: Mapping[str, Tensor]) -> _Loop | None:
        """Return the recorded step, loaded with this batch; None if steps are not recorded."""
        shapes = _shapes(initial, inputs)
        if shapes not in self._recorded:
            if _unrecordable.is_set() or shapes in self._too_large:
                return None
            try:
                loop = _Loop(self, initial, inputs)
                loop.record(self._given or self._graphs)
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
            self._recorded[shapes] = loop
            if len(self._recorded) > _MOST_RECORDED:
                self._recorded.popitem(last=False)
        self._recorded.move_to_end(shapes)
        self._recorded[shapes].load(initial, inputs)
        return self._recorded[shapes]

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
        self._loss.copy_(loss.detach())
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


def _filled(tensor: Tensor, more: int) -> Tensor:
    """`tensor` with its first image as often again."""
    return torch.cat([tensor, tensor[:1].expand(more, *tensor.shape[1:])]) if more else tensor


def _shapes(initial: Tensor, inputs: Mapping[str, Tensor]) -> tuple[object, ...]:
    return (initial.shape, *((name, tensor.shape) for name, tensor in sorted(inputs.items())))
