"""Models of open_clip: by name, from a model JSON, or from a folder of transformers."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import open_clip
import torch
from open_clip.factory import load_checkpoint
from open_clip.pretrained import download_pretrained, get_pretrained_cfg
from torch import Tensor, nn

from seraser_core.config.options import ModelOptions, is_folder
from seraser_core.errors import ConfigError
from seraser_core.faults import why
from seraser_core.models.cached import cached_files, is_from_url
from seraser_core.models.checkpoints import load_file
from seraser_core.models.early import NO_WEIGHTS, check_fetchable, check_tag, unknown_name
from seraser_core.models.files import WEIGHT_ENDINGS
from seraser_core.models.folders import import_transformers
from seraser_core.models.hub import check_server, fetching, hub, is_cached
from seraser_core.models.model_json import check_size, read_model_json
from seraser_core.models.torchscript import is_torchscript
from seraser_core.models.transformers_clip import read_folder
from seraser_core.models.undrawn import Undrawn, without_values
from seraser_core.models.weights import locked, weights_cache

_RANDOM_WEIGHTS_SEED = 0
_QUICK = "-quickgelu"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json")
_COPY = (
    "a network is needed once: what is fetched stays in the cache of the Hugging Face hub "
    "(HF_HOME), which may be copied to this machine"
)

_preprocessing_of: dict[str, dict[str, Any]] = {}
"""Name of a registered model -> the preprocessing that its file states."""


def read_open_clip(
    options: ModelOptions,
) -> tuple[Any, Callable[..., Tensor], str, dict[str, Any]]:
    """A model of open_clip: itself, its tokenizer, architecture and preprocessing.

    Raises:
        ConfigError: It is not known, cannot be had, or cannot be built.
    """
    name, tag = _register(options.name), options.pretrained
    given = _preprocessing_of.get(name, {})
    from_file = tag is not None and tag.endswith(WEIGHT_ENDINGS)
    described = {} if tag is None or from_file else _describe(name, tag, options.name)
    with _quiet():
        tokenizer = _tokenizer(name, options.name)  # before the weights: it is small
        file = _fetch(name, str(tag), described) if described else None
        net = _build(name, options.name, described, drawn=tag is None)
        if file is not None and not is_torchscript(Path(file)):
            _load_fetched(net, file)
            file = None
    if file is not None or from_file:
        load_file(net, file or str(tag))
    _check_vocabulary(net, tokenizer)
    usual = net.visual.preprocess_cfg
    check_size(options.name, given.get("size", usual["size"]), usual["size"])
    return net, tokenizer, _hash_config(name), {**usual, **given}


def _register(name: str) -> str:
    """Make a model JSON or folder known to open_clip under a name made from its content."""
    if is_folder(name):
        document = read_folder(name)
        content = json.dumps(document, sort_keys=True).encode()
        return _add(document["model_cfg"], document["preprocess_cfg"], content)
    if not name.endswith(".json"):
        if open_clip.get_model_config(name) is None:
            raise unknown_name(name)
        return name
    return _add(*read_model_json(name))


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


def _describe(name: str, tag: str, called: str) -> dict[str, Any]:
    """Look up the weights of a tag in open_clip: where they are, how pictures are prepared."""
    check_tag(name, tag, called)
    check_activation(name, tag)
    return dict(get_pretrained_cfg(name, tag))


def _tokenizer(name: str, called: str) -> Callable[..., Tensor]:
    """The tokenizer of a model, which may have to be fetched."""
    text: dict[str, Any] = (open_clip.get_model_config(name) or {}).get("text_cfg", {})
    repo = text.get("hf_tokenizer_name")
    if repo is None:
        try:
            return _kept_tokenizer(name)
        except Exception as error:  # of transformers, for one
            raise ConfigError(
                "model.name", called, f"its tokenizer cannot be made: {why(error)}"
            ) from error
    what = f"its tokenizer {repo}"
    _check_hub(repo, f"{called} with {what}", _TOKENIZER_FILES)
    import_transformers("model.name", what, "segment")
    with fetching("model.name", called, what, _COPY):
        return cast(Callable[..., Tensor], open_clip.get_tokenizer(name))


@lru_cache(4)
def _kept_tokenizer(name: str) -> Callable[..., Tensor]:
    """The tokenizer of a registered model; making one takes longer than a small model."""
    return cast(Callable[..., Tensor], open_clip.get_tokenizer(name))


def _check_hub(repo: str, value: str, files: Sequence[str]) -> None:
    """Check that the hub answers, unless one of these files of a repository is on this machine.

    Raises:
        ConfigError: It does not.
    """
    is_path = repo.startswith(("/", ".", "~")) or Path(repo).is_dir()
    if not is_path and not is_cached(repo, *files):
        check_server(hub(), "model.name", value, _COPY)


def _fetch(name: str, tag: str, described: dict[str, Any]) -> str:
    """The file with the weights of a tag, on this machine's disk; fetched if it is not there."""
    check_fetchable(name, tag)
    with locked(weights_cache() / f"{name}-{tag}"):  # else all write one file, of a URL
        here = next(cached_files(name, tag), None)
        if here is not None and not is_from_url(here):
            return str(here)
        with fetching("model.pretrained", repr(tag), "the weights", NO_WEIGHTS):
            # open_clip compares the hash of a file from a URL.
            return str(download_pretrained(described, prefer_hf_hub=here is None))


def _build(name: str, called: str, described: dict[str, Any], drawn: bool) -> Any:
    """The model with random weights, the same in every process; with NaN unless they are drawn."""
    prepared = {key: value for key, value in described.items() if key != "size"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_RANDOM_WEIGHTS_SEED)
        try:
            with nullcontext() if drawn else Undrawn():
                net = open_clip.create_model(
                    name, pretrained_text=False, force_preprocess_cfg=prepared
                )
        except Exception as error:  # timm and transformers raise their own types
            raise ConfigError(
                "model.name", called, f"its configuration makes no model: {why(error)}"
            ) from error
    if not drawn:
        without_values(net)
    return net


def _load_fetched(net: Any, file: str) -> None:
    try:
        load_checkpoint(net, file)
    except Exception as error:  # safetensors and torch raise their own types
        raise ConfigError(
            "model.pretrained",
            file,
            f"was fetched and cannot be loaded ({why(error).splitlines()[0]}); delete it, to fetch "
            "it again",
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip, which warns through the root logger, from the terminal."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)


def check_activation(name: str, tag: str) -> None:
    """Check that weights were trained with the model's activation; open_clip only warns.

    Raises:
        ConfigError: Another name is the one of the weights' network.
    """
    trained = bool(get_pretrained_cfg(name, tag).get("quick_gelu", False))
    built = bool((open_clip.get_model_config(name) or {}).get("quick_gelu", False))
    other = name + _QUICK if trained else name.removesuffix(_QUICK)
    # Without another name, the model's configuration is right and the description of the
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
    """SHA-256 of the architecture: equal shapes can still differ in heads or activation."""
    text = json.dumps(open_clip.get_model_config(name), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
