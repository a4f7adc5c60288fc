"""BLIP-2 as the library transformers saves it: config, weights, tokenizer and preprocessing."""

from __future__ import annotations

import hashlib
import json
from types import ModuleType
from typing import Any

import torch

from seraser_core import storage
from seraser_core.config.options import ModelOptions, folder_weights, is_folder
from seraser_core.errors import ConfigError
from seraser_core.models.blip2 import CONTEXT_LENGTH, Blip2Towers, WordPieces
from seraser_core.models.folders import import_transformers, quiet, read_document, without_origin

_FIELD = "model.name"
_ARCHITECTURE = "Blip2ForImageTextRetrieval"
_RANDOM_WEIGHTS_SEED = 0
_BICUBIC = 3
_RESAMPLING = {2: "bilinear", _BICUBIC: "bicubic"}
_STEPS = {"do_convert_rgb", "do_resize", "do_rescale", "do_normalize"}
"""What is done to every picture, in the words of preprocessor_config.json."""


def holds_blip2(name: str) -> bool:
    """Whether a model's name is a folder with a BLIP-2.

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
    if not storage.is_local(folder):
        raise ConfigError(_FIELD, folder, "a BLIP-2 must be on this machine; fetch its folder")
    if options.pretrained not in (None, folder_weights(folder)):
        raise ConfigError(
            "model.pretrained",
            repr(options.pretrained),
            "a BLIP-2 takes the weights of its own folder; leave this option out",
        )
    config = read_document(folder, "config.json")
    _check_config(config, folder)
    preprocessing = _preprocessing(folder, config["vision_config"].get("image_size", 224))
    library = import_transformers(_FIELD, "a BLIP-2", "blip")
    with quiet(library):
        tokenizer = _tokenizer(library, folder)
        written = tokenizer.backend_tokenizer.to_str()
        load = _random_net if options.pretrained is None else _saved_net
        try:
            net = load(library, folder)
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
    return towers, WordPieces(tokenizer), architecture, preprocessing


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


def _preprocessing(folder: str, side: object) -> dict[str, Any]:
    """open_clip's configuration of what the folder says of the model's input.

    Args:
        folder: The folder.
        side: Of the square pictures that the image tower takes.
    """
    given = _image_processor(folder)
    done = {name: bool(value) for name, value in given.items() if name.startswith("do_")}
    faults = [f"{name} is {value}" for name, value in done.items() if value != (name in _STEPS)]
    if given.get("size") != {"height": side, "width": side}:
        faults.append(f"size is {given.get('size')}, and the model's {side}")
    if given.get("rescale_factor", 1 / 255) != 1 / 255:
        faults.append(f"rescale_factor is {given['rescale_factor']}, not 1/255")
    if given.get("resample", _BICUBIC) not in list(_RESAMPLING):
        faults.append(f"resample is {given['resample']}, not one of {list(_RESAMPLING)}")
    faults += [
        f"{name} is {given.get(name)}, not three numbers"
        for name in ("image_mean", "image_std")
        if not _are_three_numbers(given.get(name))
    ]
    if faults:
        raise ConfigError(
            _FIELD, folder, f"its pictures are prepared as is not done here: {'; '.join(faults)}"
        )
    return {
        "size": side,
        "mean": tuple(given["image_mean"]),
        "std": tuple(given["image_std"]),
        "interpolation": _RESAMPLING[given.get("resample", _BICUBIC)],
        "resize_mode": "squash",
    }


def _are_three_numbers(values: object) -> bool:
    return (
        isinstance(values, list)
        and len(values) == 3
        and all(isinstance(value, int | float) for value in values)
    )


def _image_processor(folder: str) -> dict[str, Any]:
    """preprocessor_config.json, or what newer releases save in its place with the processor."""
    both = storage.join(folder, "processor_config.json")
    if storage.exists(both):
        nested = read_document(folder, "processor_config.json").get("image_processor")
        if isinstance(nested, dict):
            return nested
    return read_document(folder, "preprocessor_config.json")


def _tokenizer(library: ModuleType, folder: str) -> Any:
    path = storage.local_path(folder)
    # Without its files, transformers makes one that knows no word, and says nothing.
    if not any((path / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise ConfigError(
            _FIELD, folder, "holds no tokenizer; fetch or save tokenizer.json or vocab.txt"
        )
    try:
        tokenizer = library.BertTokenizer.from_pretrained(path, local_files_only=True)
    except Exception as error:  # tokenizers and transformers raise their own types
        raise ConfigError(_FIELD, folder, f"its tokenizer cannot be read: {error}") from error
    marks = ("pad", "unk", "cls", "sep")
    if any(getattr(tokenizer, f"{mark}_token_id") >= tokenizer.vocab_size for mark in marks):
        raise ConfigError(
            _FIELD, folder, "its tokenizer has no [PAD], [UNK], [CLS] and [SEP]; give that of BERT"
        )
    return tokenizer


def _random_net(library: ModuleType, folder: str) -> Any:
    """transformers' model with random weights, the same in every process."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_RANDOM_WEIGHTS_SEED)
        config = library.Blip2Config.from_pretrained(storage.local_path(folder))
        return library.Blip2ForImageTextRetrieval(config)


def _saved_net(library: ModuleType, folder: str) -> Any:
    """transformers' model with the weights of the folder, all of them, in fp32."""
    net, report = library.Blip2ForImageTextRetrieval.from_pretrained(
        storage.local_path(folder),
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
