"""Models of open_clip: by name, from a model JSON, or from a folder of transformers."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import logging
import tempfile
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.pretrained import get_pretrained_cfg
from open_clip.transform import PreprocessCfg
from torch import Tensor, nn

from seraser_core import storage
from seraser_core.config.options import ModelOptions, is_folder
from seraser_core.errors import ConfigError
from seraser_core.models.checkpoints import load_file
from seraser_core.models.transformers_clip import read_folder

WEIGHT_ENDINGS = (".safetensors", ".pt", ".pth", ".bin")
_RANDOM_WEIGHTS_SEED = 0
_QUICK = "-quickgelu"

_preprocessing_of: dict[str, dict[str, Any]] = {}
"""Name of a registered model -> what its file says of the input beyond the architecture."""


def read_open_clip(
    options: ModelOptions,
) -> tuple[Any, Callable[..., Tensor], str, dict[str, Any]]:
    """A model of open_clip: itself, its tokenizer, architecture and preprocessing.

    Raises:
        ConfigError: It is not known, cannot be had, or cannot be built.
    """
    name = _register(options.name)
    net = _create(name, options)
    tokenizer = open_clip.get_tokenizer(name)
    _check_vocabulary(net, tokenizer)
    preprocessing = {**net.visual.preprocess_cfg, **_preprocessing_of.get(name, {})}
    return net, tokenizer, _hash_config(name), preprocessing


def _register(name: str) -> str:
    """Make a model JSON or folder known to open_clip under a name made from its content."""
    if is_folder(name):
        document = read_folder(name)
        content = json.dumps(document, sort_keys=True).encode()
        return _add(document["model_cfg"], document["preprocess_cfg"], content)
    if not name.endswith(".json"):
        if open_clip.get_model_config(name) is None:
            raise ConfigError(
                "model.name", repr(name), f"open_clip does not know it; {_nearest_names(name)}"
            )
        return name
    try:
        content = storage.read_bytes(name)
        config = json.loads(content)
        preprocessing = config.get("preprocess_cfg", {})
        config = config.get("model_cfg", config)
        missing = [k for k in ("embed_dim", "vision_cfg", "text_cfg") if k not in config]
    except FileNotFoundError:
        raise ConfigError("model.name", name, "there is no such file") from None
    except (ValueError, AttributeError) as error:
        raise ConfigError("model.name", name, f"is not an open_clip model JSON: {error}") from None
    if missing:
        raise ConfigError("model.name", name, f"is not an open_clip model JSON: no {missing[0]}")
    return _add(config, _read_preprocessing(preprocessing, name), content)


def _add(config: dict[str, Any], preprocessing: dict[str, Any], content: bytes) -> str:
    """Make a configuration known to open_clip under a name made from `content`."""
    registered = f"seraser-{hashlib.sha256(content).hexdigest()[:16]}"
    if open_clip.get_model_config(registered) is None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{registered}.json"
            path.write_text(json.dumps(config))
            open_clip.add_model_config(path)
    _preprocessing_of[registered] = preprocessing
    return registered


def _read_preprocessing(given: Any, name: str) -> dict[str, Any]:
    """What a model JSON as the Hugging Face hub has it says of the model's input.

    Raises:
        ConfigError: It holds what open_clip does not know.
    """
    known = {field.name for field in dataclasses.fields(PreprocessCfg)}
    if not isinstance(given, dict) or not given.keys() <= known:
        raise ConfigError(
            "model.name", name, f"its preprocess_cfg must hold none but {', '.join(sorted(known))}"
        )
    return given


def _nearest_names(name: str) -> str:
    near = difflib.get_close_matches(name, open_clip.list_models(), n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}?" if near else "see open_clip.list_models()"


def _create(name: str, options: ModelOptions) -> Any:
    tag = options.pretrained
    from_file = tag is not None and tag.endswith(WEIGHT_ENDINGS)
    if tag is not None and not from_file:
        tags = open_clip.list_pretrained_tags_by_model(name)
        if tag not in tags:
            raise ConfigError(
                "model.pretrained",
                repr(tag),
                f"{options.name} has the tags {', '.join(tags) or '(none)'}; or give a file "
                f"ending in {', '.join(WEIGHT_ENDINGS)}",
            )
        check_activation(name, tag)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_RANDOM_WEIGHTS_SEED)
        level = logging.root.level
        logging.root.setLevel(logging.ERROR)  # open_clip warns through the root logger
        try:
            net = open_clip.create_model(name, pretrained=None if from_file else tag)
        except (OSError, RuntimeError, urllib.error.URLError) as error:
            raise ConfigError(
                "model.pretrained",
                repr(tag),
                f"the weights could not be fetched ({error}); without a network, give the path of "
                "a weights file, or null to try the pipeline with random weights",
            ) from error
        except (TypeError, ValueError, AssertionError, AttributeError) as error:
            raise ConfigError(
                "model.name", options.name, f"its configuration makes no model: {error}"
            ) from error
        finally:
            logging.root.setLevel(level)
    if from_file:
        load_file(net, str(tag))
    return net


def check_activation(name: str, tag: str) -> None:
    """That weights were trained with the activation of the model, of which open_clip only warns.

    Raises:
        ConfigError: Another name is the one of the weights' network.
    """
    trained = bool(get_pretrained_cfg(name, tag).get("quick_gelu", False))
    built = bool((open_clip.get_model_config(name) or {}).get("quick_gelu", False))
    other = name + _QUICK if trained else name.removesuffix(_QUICK)
    # Where there is no other name, the model's configuration is right and what is said of the
    # weights is incomplete.
    known = other != name and tag in open_clip.list_pretrained_tags_by_model(other)
    if trained != built and known:
        raise ConfigError(
            "model.name",
            repr(name),
            f"is another network than the one with the weights {tag}; write {other}",
        )


def _check_vocabulary(net: Any, tokenizer: Callable[..., Tensor]) -> None:
    embedding = getattr(net.text if hasattr(net, "text") else net, "token_embedding", None)
    highest = int(tokenizer([""]).max())  # ids of start and end come last
    if isinstance(embedding, nn.Embedding) and highest >= embedding.num_embeddings:
        raise ConfigError(
            "model.name",
            f"text_cfg.vocab_size {embedding.num_embeddings}",
            f"its tokenizer gives ids up to {highest}; correct the model JSON",
        )


def _hash_config(name: str) -> str:
    """Of tensors of the same shapes, heads and activation make another function."""
    text = json.dumps(open_clip.get_model_config(name), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
