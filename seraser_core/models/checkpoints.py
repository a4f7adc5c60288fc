"""Weights files: their tensors, brought into a model."""

from __future__ import annotations

import pickle
from typing import Any

from open_clip.convert import convert_state_dict
from open_clip.factory import load_state_dict
from torch import Tensor

from seraser_core import storage
from seraser_core.errors import ConfigError, SeraserError
from seraser_core.models.transformers_clip import as_open_clip, weight_files
from seraser_core.models.weights import local_weights

_FIELD = "model.pretrained"


def load_file(net: Any, url: str) -> None:
    """Load the weights of a file, all of them, into a model of open_clip.

    Args:
        net: The model.
        url: safetensors, which may be in parts, or what torch has saved of tensors.

    Raises:
        ConfigError: It cannot be read, holds other things, or does not fit.
    """
    state: dict[str, Tensor] = {}
    try:
        for part in weight_files(url):
            state |= _read_tensors(part)
    except FileNotFoundError:
        raise ConfigError(_FIELD, url, "there is no such file") from None
    except pickle.UnpicklingError:
        raise ConfigError(
            _FIELD, url, "holds more than tensors, which may run code; save it as safetensors"
        ) from None
    except SeraserError:
        raise
    except Exception as error:  # safetensors and torch raise their own types on damaged files
        raise ConfigError(_FIELD, url, f"is not a readable weights file: {error}") from error
    state = convert_state_dict(net, as_open_clip(state))
    wanted = net.state_dict()
    for scalar in ("logit_scale", "logit_bias"):
        if scalar in state and scalar in wanted:
            state[scalar] = state[scalar].reshape(wanted[scalar].shape)
    faults = [f"missing {k} {tuple(v.shape)}" for k, v in wanted.items() if k not in state]
    faults += [
        f"{k}: file {tuple(v.shape)}, model {tuple(wanted[k].shape)}"
        if k in wanted
        else f"unexpected {k} {tuple(v.shape)}"
        for k, v in state.items()
        if k not in wanted or v.shape != wanted[k].shape
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ConfigError(
            _FIELD, url, f"does not fit the model: {'; '.join(faults[:5])}{more}; check model.name"
        )
    net.load_state_dict(state)


def _read_tensors(url: str) -> dict[str, Tensor]:
    file = local_weights(url)
    try:
        return dict(load_state_dict(str(file), weights_only=True))
    except Exception:
        if not storage.is_local(url):
            file.unlink()  # or a damaged copy would be taken for ever
        raise
