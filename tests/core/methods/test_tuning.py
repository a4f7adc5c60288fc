"""The loop that tunes prompts, alone and with recorded steps."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seraser_core.methods.tuning import PromptTuner
from seraser_core.models.batches import kept_size, kept_size_below

STEPS, LR, DECAY = 5, 0.05, 0.1


def losses(prompt, inputs):
    return (prompt.tanh() * inputs["target"]).sum((1, 2)) + prompt.square().sum((1, 2))


def batch(seed: int, count: int = 3, device: str = "cpu"):
    generator = torch.Generator().manual_seed(seed)
    initial, target = (torch.randn(count, 2, 4, generator=generator) for _ in range(2))
    return initial.to(device), {"target": target.to(device)}


def one_by_one(initial, inputs):
    """AdamW as its paper (arXiv 1711.05101, algorithm 2) has it, one image after the other."""
    found = []
    for i in range(len(initial)):
        p = initial[i : i + 1].double().clone()
        target = {"target": inputs["target"][i : i + 1].double()}
        m = v = torch.zeros_like(p)
        for t in range(1, STEPS + 1):
            p.requires_grad_()
            (g,) = torch.autograd.grad(losses(p, target).sum(), p)
            p = p.detach()
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            step = (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
            p = p - LR * (step + DECAY * p)
        found.append(p)
    return torch.cat(found).float()


def test_a_batch_equals_each_image_alone():
    initial, inputs = batch(0)
    before = initial.clone()
    tuned = PromptTuner(losses, STEPS, LR, DECAY).tune(initial, inputs)
    assert (tuned.prompt - one_by_one(initial, inputs)).abs().max() <= 1e-5
    assert torch.equal(tuned.loss_first, losses(initial, inputs))
    assert torch.equal(initial, before)


def test_no_steps_change_nothing():
    initial, inputs = batch(0)
    tuned = PromptTuner(losses, 0, LR, DECAY).tune(initial, inputs)
    assert torch.equal(tuned.prompt, initial)
    assert tuned.loss_first is None


def test_recorded_steps_begin_every_batch_anew():
    recorded = []

    def record(step):
        step()  # as a warm-up does
        recorded.append(step)
        return step

    tuner = PromptTuner(losses, STEPS, LR, DECAY, record)
    plain = PromptTuner(losses, STEPS, LR, DECAY)
    counts = [3, 3, 3, 2, 3, 2, 2, 3, 3]
    results = []
    for seed, count in enumerate(counts):
        results.append(tuner.tune(*batch(seed, count)))
    for seed, (count, tuned) in enumerate(zip(counts, results, strict=True)):
        expected = plain.tune(*batch(seed, count))
        assert torch.equal(tuned.prompt, expected.prompt), seed
        assert torch.equal(tuned.loss_first, expected.loss_first), seed
    assert len(recorded) == 2, "each size once, at first sight"


def test_batches_are_filled_up_to_sizes_that_are_recorded_already():
    recorded = []

    def record(step):
        step()
        recorded.append(step)
        return step

    tuner = PromptTuner(losses, STEPS, LR, DECAY, record)
    for seed, count in enumerate([11, 12, 10, 9, 12, 241, 256, 255]):
        initial, inputs = batch(seed, count)
        tuned = tuner.tune(initial, inputs)
        expected = one_by_one(initial, inputs)
        assert tuned.prompt.shape == expected.shape and tuned.loss_first.shape == (count,)
        assert (tuned.prompt - expected).abs().max() <= 1e-5
        assert (tuned.loss_first - losses(initial, inputs)).abs().max() <= 1e-5
    sizes = [len(step.__self__._prompt) for step in recorded]
    assert sizes == [12, 10, 256], "and each once"


def test_what_an_image_gets_does_not_depend_on_what_was_recorded_before():
    """A run that was interrupted begins elsewhere: its rows must be equal to the last bit."""
    sizes = {}
    for counts in ([30, 17, 23], [23], [17, 23]):
        used = []

        def record(step, used=used):
            used.append(len(step.__self__._prompt))
            return step

        tuner = PromptTuner(losses, STEPS, LR, DECAY, record)
        for count in counts:
            used.clear()
            tuner.tune(*batch(0, count))
            for size in used:
                sizes.setdefault(count, set()).add(size)
    assert sizes == {30: {32}, 17: {20}, 23: {24}}


def test_the_steps_of_few_sizes_are_kept():
    recorded = []

    def record(step):
        recorded.append(step)
        return step

    tuner = PromptTuner(losses, STEPS, LR, DECAY, record)
    for count in [*range(1, 9), 1, 10, 1, 2]:
        tuner.tune(*batch(0, count))
    sizes = [len(step.__self__._prompt) for step in recorded]
    assert sizes == [*range(1, 9), 10, 2], "the one that was used longest ago goes"


@given(st.integers(1, 10**6))
def test_sizes_are_few_and_near(count):
    above, below = kept_size(count), kept_size_below(count)
    assert below <= count <= above <= max(count, 1.25 * count)
    assert kept_size(above) == above == kept_size_below(above)
    assert kept_size(below) == below
    assert above == below or (below < count < above and kept_size(below + 1) == above)


def test_sizes_for_example():
    sizes = sorted({kept_size(count) for count in range(1, 65)})
    assert sizes == [*range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64]
    assert kept_size(2048) == 2048


@pytest.mark.gpu
def test_steps_recorded_on_a_gpu_equal_those_on_the_processor():
    tuner = PromptTuner(losses, STEPS, LR, DECAY)
    for seed in range(4):
        tuned = tuner.tune(*batch(seed, device="cuda"))
        assert (tuned.prompt.cpu() - one_by_one(*batch(seed))).abs().max() <= 1e-5
