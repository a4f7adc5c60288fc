"""BLIP-2 as the library transformers saves it: config, weights, tokenizer and preprocessing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from seraser_core import storage
from seraser_core.config.options import ModelOptions, folder_weights, is_folder
from seraser_core.errors import ConfigError
from seraser_core.models.blip2 import CONTEXT_LENGTH, Blip2Towers, WordPieces
from seraser_core.models.folders import (
    import_transformers,
    quiet,
    read_document,
    read_image_processor,
    without_origin,
)
from seraser_core.models.transformers_pictures import BLIP, preprocess_cfg

_FIELD = "model.name"
_ARCHITECTURE = "Blip2ForImageTextRetrieval"
_RANDOM_WEIGHTS_SEED = 0
_SIDE = 224


def holds_blip2(name: str) -> bool:
    """Return whether a model's name is a folder with a BLIP-2.

    Raises:
        ConfigError: It is a folder without a readable config.json.
    """
    return is_folder(name) and read_document(name, "config.json").get("model_type") == "blip-2"


def read_blip2(options: ModelOptions) -> tuple[Blip2Towers, WordPieces, str, dict[str, Any]]:
    """The model in a folder.

    Args:
        options: Its name is the folder, for which `holds_blip2` is true.

    Returns:
        The towers in fp32 on the CPU, the tokenizer, SHA-256 of what they are beside the weights,
        and open_clip's configuration of the preprocessing.

    Raises:
        ConfigError: transformers is not installed, or the folder holds what cannot be used.
    """
    folder = options.name
    path = storage.local_path(folder)
    if path is None:
        raise ConfigError(_FIELD, folder, "a BLIP-2 must be on this machine; fetch its folder")
    if options.pretrained not in (None, folder_weights(folder)):
        raise ConfigError(
            "model.pretrained",
            repr(options.pretrained),
            "a BLIP-2 takes the weights of its own folder; leave this option out",
        )
    config = read_document(folder, "config.json")
    _check_config(config, folder)
    side = config["vision_config"].get("image_size", _SIDE)
    given = read_image_processor(folder)
    if given is None:
        raise ConfigError(_FIELD, folder, "holds no preprocessor_config.json; fetch or save it")
    pictures = preprocess_cfg(folder, given, side, BLIP)
    library = import_transformers(_FIELD, "a BLIP-2", "blip")
    with quiet(library):
        tokenizer = _tokenizer(library, path)
        written = tokenizer.backend_tokenizer.to_str()
        load = _random_net if options.pretrained is None else _saved_net
        try:
            net = load(library, path)
        except ConfigError:
            raise
        except Exception as error:  # safetensors and transformers raise their own types
            raise ConfigError(_FIELD, folder, f"its model cannot be loaded: {error}") from error
    words, rows = tokenizer.vocab_size, net.embeddings.word_embeddings.num_embeddings
    if words > rows:
        raise ConfigError(
            _FIELD, folder, f"its tokenizer knows {words} word pieces and its weights {rows}"
        )
    described = {"model": without_origin(config), "tokenizer": written}
    architecture = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    towers = Blip2Towers(net, tokenizer.pad_token_id)
    return towers, WordPieces(tokenizer), architecture, {"size": side, **pictures}


def _check_config(config: dict[str, Any], folder: str) -> None:
    kinds = config.get("architectures")
    if kinds != [_ARCHITECTURE]:
        raise ConfigError(
            _FIELD, folder, f"holds a BLIP-2 of the kind {kinds}; give a {_ARCHITECTURE}"
        )
    former, vision = config.get("qformer_config"), config.get("vision_config")
    if not isinstance(former, dict) or not isinstance(vision, dict):
        raise ConfigError(_FIELD, folder, "its config.json lacks qformer_config or vision_config")
    if former.get("use_qformer_text_input") is not True:
        raise ConfigError(
            _FIELD,
            folder,
            "its Q-Former reads no text: use_qformer_text_input in config.json is not true",
        )
    positions = former.get("max_position_embeddings", CONTEXT_LENGTH)
    if not isinstance(positions, int) or positions < CONTEXT_LENGTH:
        raise ConfigError(
            _FIELD, folder, f"its Q-Former reads {positions} positions, fewer than {CONTEXT_LENGTH}"
        )


def _tokenizer(library: ModuleType, folder: Path) -> Any:
    # Without its files, transformers silently makes one without a vocabulary.
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise ConfigError(
            _FIELD, folder, "holds no tokenizer; fetch or save tokenizer.json or vocab.txt"
        )
    try:
        tokenizer = library.BertTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # tokenizers and transformers raise their own types
        raise ConfigError(_FIELD, folder, f"its tokenizer cannot be read: {error}") from error
    marks = ("pad", "unk", "cls", "sep")
    if any(getattr(tokenizer, f"{mark}_token_id") >= tokenizer.vocab_size for mark in marks):
        raise ConfigError(
            _FIELD, folder, "its tokenizer has no [PAD], [UNK], [CLS] and [SEP]; give that of BERT"
        )
    return tokenizer


def _random_net(library: ModuleType, folder: Path) -> Any:
    """transformers' model with random weights, the same in every process."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_RANDOM_WEIGHTS_SEED)
        config = library.Blip2Config.from_pretrained(folder)
        return library.Blip2ForImageTextRetrieval(config)


def _saved_net(library: ModuleType, folder: Path) -> Any:
    """transformers' model with the weights of the folder, all of them, in fp32."""
    net, report = library.Blip2ForImageTextRetrieval.from_pretrained(
        folder,
        dtype=torch.float32,
        local_files_only=True,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are in the report, and refused below
    )
    faults = [f"missing {name}" for name in sorted(report["missing_keys"])]
    faults += [f"unexpected {name}" for name in sorted(report["unexpected_keys"])]
    faults += [
        f"{name}: file {tuple(file)}, model {tuple(model)}"
        for name, file, model in sorted(report["mismatched_keys"])
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ConfigError(
            _FIELD,
            folder,
            f"its weights do not fit its config.json: {'; '.join(faults[:5])}{more}",
        )
    return net
