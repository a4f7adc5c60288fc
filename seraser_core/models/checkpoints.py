"""Weights files: their tensors, brought into a model."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from open_clip.convert import convert_state_dict
from torch import Tensor

from seraser_core.display import kind_of
from seraser_core.errors import ConfigError
from seraser_core.models.files import weight_files
from seraser_core.models.json_files import blamed
from seraser_core.models.transformers_clip import TRANSFORMERS_MARK, as_open_clip
from seraser_core.models.weight_content import read_weights

logger = logging.getLogger(__name__)
_FIELD = "model.pretrained"
_WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "params",
    "checkpoint",
    "ema",
    "model_ema",
    "ema_model",
    "ema_state_dict",
    "state_dict_ema",
    "ema_model_state_dict",
)
"""Keys under which training programs keep a model's tensors."""
_INSERTED = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""Parts that torch's wrappers insert anywhere into names."""
_BESIDE = ("input_resolution", "context_length", "vocab_size", "n_averaged")
"""Numbers that OpenAI's program and averages of weights keep beside the model's tensors."""
_SHOWN = 5
_DEEPEST = 20


def load_file(net: Any, url: str) -> None:
    """Load the weights of a file, all of them, into a model of open_clip.

    Args:
        net: The model.
        url: safetensors, which may be in parts, what torch has saved of tensors, or TorchScript.

    Raises:
        ConfigError: It cannot be read, holds other things, or does not fit.
    """
    state: dict[str, Tensor] = {}
    with blamed(_FIELD, url):
        for part in weight_files(url):
            state |= _tensors(read_weights(part), part)
    wanted: dict[str, Tensor] = net.state_dict()
    state = _named_alike(state, wanted, url)
    examples = _some(state)
    try:
        state = convert_state_dict(net, as_open_clip(state))
    except Exception as error:  # foreign tensors may raise anything
        raise ConfigError(
            _FIELD,
            url,
            f"holds {examples}, which are not of this model ({error}); check model.name",
        ) from error
    # The mask of causal attention, for one: TorchScript and old releases save it, too.
    constants = {name for name, _ in net.named_buffers()} - wanted.keys()
    state = {name: tensor for name, tensor in state.items() if name not in constants}
    for scalar in ("logit_scale", "logit_bias"):
        if scalar in state and scalar in wanted and state[scalar].numel() == 1:
            state[scalar] = state[scalar].reshape(wanted[scalar].shape)
    if faults := _faults(state, wanted):
        raise ConfigError(
            _FIELD, url, f"does not fit the model: {'; '.join(faults)}; check model.name"
        )
    net.load_state_dict(state)


def _tensors(content: object, url: str) -> dict[str, Tensor]:
    """The tensors by their names, also from a training program's checkpoint."""
    if not isinstance(content, Mapping):
        raise ConfigError(
            _FIELD, url, f"holds {kind_of(content)}; save a model's tensors by their names"
        )
    given: Mapping[Any, Any] = content
    for _ in range(_DEEPEST):
        if (inner := _inner(given)) is None:
            break
        given = given[inner]
    if {"state", "param_groups"} <= given.keys():
        raise ConfigError(
            _FIELD, url, "holds the state of an optimiser and no model; give the model's own file"
        )
    others = [
        f"{key if isinstance(key, str | int) else type(key).__name__} ({type(value).__name__})"
        for key, value in given.items()
        if not isinstance(key, str) or not isinstance(value, Tensor)
    ]
    if others:
        raise ConfigError(
            _FIELD,
            url,
            f"it holds {_some(others)} beside or instead of named tensors; save the model's "
            "tensors alone",
        )
    if not given:
        raise ConfigError(_FIELD, url, "holds no tensor; save a model's")
    for name, tensor in given.items():
        if fault := _fault(tensor):
            raise ConfigError(
                _FIELD, url, f"its tensor {name} is {fault}; save plain ones of real numbers"
            )
    return dict(given)


def _inner(given: Mapping[Any, Any]) -> str | None:
    """The only entry of a checkpoint that holds a model, if it goes by a usual name."""
    if any(isinstance(value, Tensor) for value in given.values()):
        return None
    models = [key for key, value in given.items() if _holds_tensors(value)]
    return models[0] if len(models) == 1 and models[0] in _WRAPPERS else None


def _holds_tensors(value: object) -> bool:
    """Return whether part of a checkpoint holds a model's tensors, directly or in its own parts."""
    waiting, seen = [value], set()
    while waiting:
        part = waiting.pop()
        if not isinstance(part, Mapping) or {"state", "param_groups"} <= part.keys():
            continue
        if id(part) in seen:  # a part may hold itself
            continue
        seen.add(id(part))
        if any(isinstance(each, Tensor) for each in part.values()):
            return True
        waiting += [each for key, each in part.items() if key in _WRAPPERS]
    return False


def _fault(tensor: Tensor) -> str | None:
    """Say why a tensor cannot be a weight, whatever its name; None if it can."""
    if tensor.is_meta:
        return "without values"
    if tensor.layout != torch.strided:
        return str(tensor.layout).removeprefix("torch.")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "one of fewer values, expanded"  # to any size, which a copy would take
    return "complex" if tensor.is_complex() else None


def _named_alike(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], url: str
) -> dict[str, Tensor]:
    """Return the tensors without what wrappers add to all names, and log what that was."""
    state = {
        name: tensor
        for name, tensor in state.items()
        if name not in _BESIDE or name in wanted or tensor.numel() != 1
    }
    removed: list[str] = []
    for inserted in _INSERTED:
        if any(inserted in name for name in state):
            renamed = {name.replace(inserted, ""): tensor for name, tensor in state.items()}
            if len(renamed) == len(state):  # or a tensor would be lost
                removed.append(inserted)
                state = renamed
    if prefix := _prefix(state, wanted):
        removed.append(prefix)
        state = {
            name if (bare := name.removeprefix(prefix)) in state else bare: tensor
            for name, tensor in state.items()
        }
    if removed:
        logger.warning("%s: took %s out of the names of its tensors", url, " and ".join(removed))
    return state


def _prefix(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Prefix of most names, e.g. ``module.``, if it stands before all names of the model.

    Other tensors may be beside the model's, such as those of a loss.
    """
    prefixes: Counter[str] = Counter()
    for name in state:
        rest = name
        for _ in range(_DEEPEST):
            if rest in wanted or rest == TRANSFORMERS_MARK:
                prefixes[name.removesuffix(rest)] += 1
                break
            rest = rest.partition(".")[2]
    return "" if "" in prefixes or not prefixes else prefixes.most_common(1)[0][0]


def _faults(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """List why tensors do not fit a model: the count of each kind of fault, and the first ones."""
    both = [name for name in state if name in wanted]
    kinds = {
        "missing": [f"{k} {_shape(v)}" for k, v in wanted.items() if k not in state],
        "unexpected": [f"{k} {_shape(v)}" for k, v in state.items() if k not in wanted],
        "of another shape": [
            f"{k}: file {_shape(state[k])}, model {_shape(wanted[k])}"
            for k in both
            if state[k].shape != wanted[k].shape
        ],
        "of another type": [
            f"{k}: file {state[k].dtype}, model {wanted[k].dtype}"
            for k in both
            if state[k].is_floating_point() != wanted[k].is_floating_point()
        ],
    }
    return [f"{len(names)} {kind} ({_some(names)})" for kind, names in kinds.items() if names]


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)


def _some(names: Iterable[object]) -> str:
    """The first of some names, in words."""
    given = [str(name) for name in names]
    return ", ".join(given[:_SHOWN]) + (", ..." if len(given) > _SHOWN else "")
