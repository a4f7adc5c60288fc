"""CLIP as the library transformers saves it: a folder with config.json and model.safetensors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seraser_core.errors import ConfigError
from seraser_core.models.folders import read_document, read_image_processor
from seraser_core.models.json_files import refused
from seraser_core.models.transformers_pictures import preprocess_cfg
from seraser_core.models.transformers_tokenizer import check_tokenizer

TRANSFORMERS_MARK = "vision_model.embeddings.class_embedding"
"""A tensor that identifies weights of transformers' CLIP."""
_ACTIVATIONS = {"quick_gelu": True, "gelu": False}
_NORM_EPS = 1e-5
_HIGHEST_TOKEN, _END_OF_TEXT = 2, 49407
_WORDS = 49408
"""Tokens of CLIP's tokenizer, those that begin and end a text among them."""
_MOST = 2**31
_SHARED = {"hidden_act": "quick_gelu", "num_hidden_layers": 12, "layer_norm_eps": _NORM_EPS}
_TEXT = {
    **_SHARED,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "vocab_size": _WORDS,
    "eos_token_id": _END_OF_TEXT,
}
_VISION = {
    **_SHARED,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "num_channels": 3,
}
"""Values that transformers takes where config.json is silent."""
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

    What config.json leaves out is what transformers takes for it.

    Raises:
        ConfigError: There is no CLIP of transformers in it, or one that open_clip cannot build.
    """
    config = read_document(folder, "config.json")
    if config.get("model_type") != "clip":
        kind = config.get("model_type", "none")
        raise ConfigError(
            "model.name", folder, f"holds a model of type {kind}; give one of type clip or blip-2"
        )
    whole = _Part(folder, "config.json", {"projection_dim": 512, **config})
    text = _tower(folder, config, "text_config", _TEXT)
    vision = _tower(folder, config, "vision_config", _VISION)
    activations = [tower.given["hidden_act"] for tower in (text, vision)]
    if activations[0] != activations[1] or activations[0] not in list(_ACTIVATIONS):
        raise refused(
            folder,
            "hidden_act",
            activations,
            f"its activations must be those of CLIP, in both towers {' or '.join(_ACTIVATIONS)}",
        )
    side, patch = vision.number("image_size"), vision.number("patch_size")
    if patch > side:
        raise vision.refused("patch_size", f"must not be above the image_size {side}")
    if vision.number("num_channels") != 3:
        raise vision.refused("num_channels", "must be 3, those of RGB pictures")
    # transformers pools at this token, or if it is 2 at the highest id; texts end at both.
    if text.number("eos_token_id") not in (_HIGHEST_TOKEN, _END_OF_TEXT):
        raise text.refused(
            "eos_token_id",
            f"must be {_END_OF_TEXT}, with which CLIP's tokenizer ends texts, or "
            f"{_HIGHEST_TOKEN}, which old releases saved for it",
        )
    if text.number("vocab_size") != _WORDS:
        raise text.refused("vocab_size", f"must be {_WORDS}, that of CLIP's tokenizer")
    check_tokenizer(folder)
    model = {
        "embed_dim": whole.number("projection_dim"),
        "quick_gelu": _ACTIVATIONS[activations[0]],
        "vision_cfg": {
            "image_size": side,
            "patch_size": patch,
            "layers": vision.number("num_hidden_layers"),
            "width": vision.number("hidden_size"),
            "head_width": vision.number("hidden_size") // vision.heads(),
            "mlp_ratio": vision.mlp_ratio(),
            **vision.norm(),
        },
        "text_cfg": {
            "context_length": text.number("max_position_embeddings"),
            "vocab_size": _WORDS,
            "width": text.number("hidden_size"),
            "heads": text.heads(),
            "layers": text.number("num_hidden_layers"),
            "mlp_ratio": text.mlp_ratio(),
            **text.norm(),
        },
    }
    given = read_image_processor(folder)
    pictures = {} if given is None else preprocess_cfg(folder, given, side)
    return {"model_cfg": model, "preprocess_cfg": pictures}


@dataclass(frozen=True)
class _Part:
    """A part of config.json.

    Attributes:
        folder: The folder.
        name: Name of the part.
        given: Its values, with the defaults of transformers.

    All methods raise a ConfigError of what cannot be used.
    """

    folder: str
    name: str
    given: dict[str, Any]

    def number(self, name: str) -> int:
        """A whole number above 0 of usual size."""
        value = self.given[name]
        if type(value) is not int or not 0 < value < _MOST:
            raise self.refused(name, f"must be a whole number above 0 and below {_MOST}")
        return value

    def heads(self) -> int:
        """Heads of the attention."""
        heads, width = self.number("num_attention_heads"), self.number("hidden_size")
        if width % heads:
            raise self.refused("num_attention_heads", f"must divide the hidden_size {width}")
        return heads

    def mlp_ratio(self) -> float:
        """Factor of the width that, rounded down, gives the width inside the MLP."""
        hidden, width = self.number("intermediate_size"), self.number("hidden_size")
        ratio = hidden / width
        return ratio if int(width * ratio) == hidden else math.nextafter(ratio, math.inf)

    def norm(self) -> dict[str, Any]:
        """Options of the layer norms, where they are not those of open_clip."""
        eps = self.given["layer_norm_eps"]
        if type(eps) not in (int, float) or not 0 < eps < 1:
            raise self.refused("layer_norm_eps", "must be a number between 0 and 1")
        return {} if eps == _NORM_EPS else {"norm_kwargs": {"eps": eps}}

    def refused(self, name: str, remedy: str) -> ConfigError:
        """Build the error for an unusable value of `name` in this part."""
        return refused(self.folder, f"{self.name}.{name}", self.given[name], remedy)


def _tower(folder: str, config: Mapping[str, Any], name: str, defaults: Mapping[str, Any]) -> _Part:
    # Old releases also saved options under other names, which take precedence.
    old = config.get(f"{name}_dict")
    given = config.get(name) if old is None else old
    if not isinstance(given, dict | None):
        raise refused(folder, name, given, "must be a JSON object")
    return _Part(folder, name, {**defaults, **(given or {})})


def as_open_clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of transformers' CLIP by open_clip's names; those of others as they are."""
    if TRANSFORMERS_MARK not in state:
        return dict(state)
    translated: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        if name.endswith("position_ids"):  # 0, 1, 2, ...: old releases saved them
            continue
        if name in _TRANSPOSED:
            translated[_TRANSPOSED[name]] = tensor.T.contiguous()
        elif name in _NAMES:
            translated[_NAMES[name]] = tensor
        elif match := _IN_PROJ.fullmatch(name):
            block, part, kind = match.groups()
            parts.setdefault(f"{_block(block)}.attn.in_proj_{kind}", {})[part] = tensor
        else:
            translated[_block(name)] = tensor
    for name, qkv in parts.items():
        translated[name] = torch.cat([qkv[part] for part in "qkv" if part in qkv])
    return translated


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
