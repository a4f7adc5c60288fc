"""Tensors that methods share: every change in place is seen."""

from __future__ import annotations

import pytest
import torch

from seraser_core.errors import ConfigError
from seraser_core.methods.shared import Shared

CHANGES = {
    "itself": lambda tensor: tensor.mul_(-1),
    "a view": lambda tensor: tensor[:1].zero_(),
    "an item": lambda tensor: tensor.__setitem__((0, 0), 3.0),
    "a detached one": lambda tensor: tensor.detach().neg_(),
    "in inference mode": torch.inference_mode()(lambda tensor: tensor[:, 0].add_(1)),
    "without gradients": torch.no_grad()(lambda tensor: tensor.neg_()),
    "as an output": lambda tensor: torch.exp(tensor, out=tensor),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_place_names_the_method_and_the_tensor(change):
    shared = Shared()
    tensor = shared.add("context.class_features", torch.ones(2, 3))
    shared.check("fine")
    CHANGES[change](tensor)
    with pytest.raises(ConfigError) as raised:
        shared.check("theirs")
    assert raised.value.field == "methods.theirs"
    assert "changes context.class_features in place" in str(raised.value.value)
    assert "clone()" in raised.value.remedy


def test_what_makes_other_tensors_is_allowed():
    shared = Shared()
    tensor = shared.add("it", torch.ones(2, 3))
    tensor.clone().neg_()
    (tensor * 2).neg_()
    tensor.requires_grad_(False)
    tensor.contiguous().float().to("cpu").expand(4, 2, 3).sum()
    shared.check("theirs")


def test_a_tensor_of_inference_mode_has_no_version():
    shared = Shared()
    with torch.inference_mode():
        shared.add("it", torch.ones(2))
    shared.check("theirs")


def test_later_calls_of_others_still_name_the_method_that_changed_it():
    shared = Shared()
    shared.add("it", torch.ones(2)).neg_()
    for method in ("theirs", "zero_shot"):
        with pytest.raises(ConfigError, match=r"^methods\.theirs: "):
            shared.check(method)
