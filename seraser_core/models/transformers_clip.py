"""CLIP as the library transformers saves it: a folder with config.json and model.safetensors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from seraser_core import storage
from seraser_core.errors import ConfigError

_ACTIVATIONS = {"quick_gelu": True, "gelu": False}
_RESAMPLING = {2: "bilinear", 3: "bicubic"}
_TOWERS = {
    "text_model.encoder.layers": "transformer",
    "vision_model.encoder.layers": "visual.transformer",
}
_BLOCK = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_NAMES = {
    "logit_scale": "logit_scale",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
}
_TRANSPOSED = {
    "text_projection.weight": "text_projection",
    "visual_projection.weight": "visual.proj",
}
_IN_PROJ = re.compile(r"(.+)\.self_attn\.([qkv])_proj\.(weight|bias)")


def read_folder(folder: str) -> dict[str, Any]:
    """The model in a folder, as open_clip's model JSON: ``model_cfg`` and ``preprocess_cfg``.

    Raises:
        ConfigError: There is no CLIP of transformers in it, or one that open_clip cannot build.
    """
    config = _read(folder, "config.json")
    if config.get("model_type") != "clip":
        kind = config.get("model_type", "none")
        raise ConfigError(
            "model.name", folder, f"holds a model of type {kind}; give one of type clip"
        )
    try:
        text, vision = config["text_config"], config["vision_config"]
        activations = {text.get("hidden_act", "quick_gelu"), vision.get("hidden_act", "quick_gelu")}
        if len(activations) != 1 or not activations <= _ACTIVATIONS.keys():
            raise ConfigError(
                "model.name", folder, f"its activations {sorted(activations)} are not those of CLIP"
            )
        model = {
            "embed_dim": config.get("projection_dim", 512),
            "quick_gelu": _ACTIVATIONS[activations.pop()],
            "vision_cfg": {
                "image_size": vision["image_size"],
                "patch_size": vision["patch_size"],
                "layers": vision["num_hidden_layers"],
                "width": vision["hidden_size"],
                "head_width": vision["hidden_size"] // vision["num_attention_heads"],
                "mlp_ratio": vision["intermediate_size"] / vision["hidden_size"],
            },
            "text_cfg": {
                "context_length": text.get("max_position_embeddings", 77),
                "vocab_size": text.get("vocab_size", 49408),
                "width": text["hidden_size"],
                "heads": text["num_attention_heads"],
                "layers": text["num_hidden_layers"],
                "mlp_ratio": text["intermediate_size"] / text["hidden_size"],
            },
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError("model.name", folder, f"its config.json lacks {error}") from None
    return {"model_cfg": model, "preprocess_cfg": _preprocessing(folder)}


def _preprocessing(folder: str) -> dict[str, Any]:
    if not storage.exists(storage.join(folder, "preprocessor_config.json")):
        return {}  # CLIP's own
    given = _read(folder, "preprocessor_config.json")
    found = {"mean": given.get("image_mean"), "std": given.get("image_std")}
    found["interpolation"] = _RESAMPLING.get(given.get("resample", 3))
    if None in found.values():
        raise ConfigError(
            "model.name", folder, "its preprocessor_config.json is not that of a CLIP"
        )
    return found


def _read(folder: str, name: str) -> dict[str, Any]:
    url = storage.join(folder, name)
    try:
        document = json.loads(storage.read_bytes(url))
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            "model.name", folder, f"holds no {name}; give a folder that transformers has saved"
        ) from None
    except ValueError as error:
        raise ConfigError("model.name", url, f"is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError("model.name", url, "is no JSON object")
    return document


def as_open_clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of transformers' CLIP by open_clip's names; those of others as they are."""
    if "vision_model.embeddings.class_embedding" not in state:
        return dict(state)
    found: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        if name.endswith("position_ids"):  # 0, 1, 2, ...: old releases saved them
            continue
        if name in _TRANSPOSED:
            found[_TRANSPOSED[name]] = tensor.T.contiguous()
        elif name in _NAMES:
            found[_NAMES[name]] = tensor
        elif match := _IN_PROJ.fullmatch(name):
            block, part, kind = match.groups()
            parts.setdefault(f"{_block(block)}.attn.in_proj_{kind}", {})[part] = tensor
        else:
            found[_block(name)] = tensor
    for name, qkv in parts.items():
        found[name] = torch.cat([qkv[part] for part in "qkv" if part in qkv])
    return found


def _block(name: str) -> str:
    """``text_model.encoder.layers.3.mlp.fc1.bias`` -> ``transformer.resblocks.3.mlp.c_fc.bias``."""
    for tower, ours in _TOWERS.items():
        if name.startswith(f"{tower}."):
            number, _, rest = name.removeprefix(f"{tower}.").partition(".")
            for theirs, called in _BLOCK.items():
                if rest.startswith(f"{theirs}."):
                    rest = called + rest.removeprefix(theirs)
            return f"{ours}.resblocks.{number}" + (f".{rest}" if rest else "")
    return name
