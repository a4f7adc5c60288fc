"""The loop that tunes prompts, alone and with recorded steps."""

from __future__ import annotations

import pytest
import torch

from seraser_core.methods.tuning import PromptTuner

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
    assert len(recorded) == 3, "a shape that comes twice in a row"


@pytest.mark.gpu
def test_steps_recorded_on_a_gpu_equal_those_on_the_processor():
    tuner = PromptTuner(losses, STEPS, LR, DECAY)
    for seed in range(4):
        tuned = tuner.tune(*batch(seed, device="cuda"))
        assert (tuned.prompt.cpu() - one_by_one(*batch(seed))).abs().max() <= 1e-5
