"""Weights files: their tensors, brought into a model."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from open_clip.convert import convert_state_dict
from torch import Tensor

from seraser_core import storage
from seraser_core.errors import ConfigError
from seraser_core.models.documents import blamed
from seraser_core.models.files import weight_files
from seraser_core.models.transformers_clip import as_open_clip
from seraser_core.models.weights import local_weights

_FIELD = "model.pretrained"
_WRAPPERS = ("state_dict", "model")
"""Where programs that train keep a model's tensors, beside the epoch and the optimiser."""
_PARALLEL = "module."
_SHOWN = 5


def load_file(net: Any, url: str) -> None:
    """Load the weights of a file, all of them, into a model of open_clip.

    Args:
        net: The model.
        url: safetensors, which may be in parts, or what torch has saved of tensors.

    Raises:
        ConfigError: It cannot be read, holds other things, or does not fit.
    """
    state: dict[str, Tensor] = {}
    with blamed(_FIELD, url):
        for part in weight_files(url):
            state |= _tensors(_read(part), part)
    found = _some(state)
    try:
        state = convert_state_dict(net, as_open_clip(state))
    except Exception as error:  # whatever tensors of other names and shapes may cause
        raise ConfigError(
            _FIELD, url, f"holds {found}, which are not of this model ({error}); check model.name"
        ) from error
    wanted = net.state_dict()
    for scalar in ("logit_scale", "logit_bias"):
        if scalar in state and scalar in wanted and state[scalar].numel() == 1:
            state[scalar] = state[scalar].reshape(wanted[scalar].shape)
    faults = [f"missing {k} {tuple(v.shape)}" for k, v in wanted.items() if k not in state]
    faults += [
        f"{k}: file {tuple(v.shape)}, model {tuple(wanted[k].shape)}"
        if k in wanted
        else f"unexpected {k} {tuple(v.shape)}"
        for k, v in state.items()
        if k not in wanted or v.shape != wanted[k].shape
    ]
    faults += [
        f"{k}: file {v.dtype}, model {wanted[k].dtype}"
        for k, v in state.items()
        if k in wanted and v.is_floating_point() != wanted[k].is_floating_point()
    ]
    if faults:
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise ConfigError(
            _FIELD,
            url,
            f"does not fit the model: {'; '.join(faults[:_SHOWN])}{more}; check model.name",
        )
    net.load_state_dict(state)


def _read(url: str) -> object:
    """What is in a weights file."""
    if storage.is_local(url):
        storage.local_size(url)  # or a pipe would be waited for
    file = local_weights(url)
    try:
        return _load(file)
    except Exception as error:  # safetensors and torch raise their own types on damaged files
        if not storage.is_local(url):
            file.unlink()  # or a damaged copy would be taken for ever
        if isinstance(error, pickle.UnpicklingError):
            fault = "holds more than tensors, which may run code; save it as safetensors"
        else:
            fault = f"is not a readable weights file: {error}"
        raise ConfigError(_FIELD, url, fault) from error


def _load(file: Path) -> object:
    if file.suffix == ".safetensors":
        return safetensors.torch.load_file(file)
    return torch.load(file, map_location="cpu", weights_only=True)


def _tensors(content: object, url: str) -> dict[str, Tensor]:
    """The tensors by their names, also from a training program's checkpoint."""
    if not isinstance(content, Mapping):
        raise ConfigError(
            _FIELD, url, f"holds a {type(content).__name__}; save a model's tensors by their names"
        )
    given: Mapping[Any, Any] = content
    inner = [key for key, value in given.items() if _holds_tensors(value)]
    if len(inner) == 1 and inner[0] in _WRAPPERS:
        given = given[inner[0]]
    others = [
        f"{key} ({type(value).__name__})"
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
    whole = all(name.startswith(_PARALLEL) for name in given)
    return {name.removeprefix(_PARALLEL) if whole else name: t for name, t in given.items()}


def _fault(tensor: Tensor) -> str | None:
    """What hinders a tensor from being a weight, whatever its name."""
    if tensor.is_meta:
        return "without values"
    if tensor.layout != torch.strided:
        return str(tensor.layout).removeprefix("torch.")
    return "complex" if tensor.is_complex() else None


def _holds_tensors(value: object) -> bool:
    return isinstance(value, Mapping) and any(isinstance(v, Tensor) for v in value.values())


def _some(names: Iterable[object]) -> str:
    """The first of some names, in words."""
    given = [str(name) for name in names]
    return ", ".join(given[:_SHOWN]) + (", ..." if len(given) > _SHOWN else "")
