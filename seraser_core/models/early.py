"""Checks of a model's options that need no torch, whose import takes seconds."""

from __future__ import annotations

import difflib
import re
from contextlib import suppress

from seraser_core import storage
from seraser_core.config.options import ModelOptions, is_folder
from seraser_core.errors import ConfigError, TransientError
from seraser_core.models import hub
from seraser_core.models.cached import cached_files
from seraser_core.models.files import WEIGHT_ENDINGS
from seraser_core.models.json_files import blamed
from seraser_core.open_clip_tables import model_names, table

_DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]{1,4})?")
DEVICES = "use auto, cpu, cuda or cuda:N"
NO_WEIGHTS = (
    "without a network, give the path of a weights file, or null to try the pipeline with random "
    "weights; `seraser plan --no-model` checks all else"
)
_SCHEMAS = ("hf-hub", "local-dir")


def check_model(options: ModelOptions, files: bool = True) -> None:
    """Refuse unknown names, tags, files and devices; loading finds the rest.

    Args:
        options: The model.
        files: Whether its files must be there.

    Raises:
        ConfigError: There is no such thing.
    """
    name, weights = options.name, options.pretrained
    if not _DEVICE.fullmatch(options.device):
        raise ConfigError("model.device", repr(options.device), DEVICES)
    if is_folder(name):
        return
    if name.endswith(".json"):
        if files:
            _check_file("model.name", name)
    elif name not in model_names():
        raise unknown_name(name)
    if weights is None:
        return
    if weights.endswith(WEIGHT_ENDINGS):
        if files and not _is_file(f"{weights}.index.json"):
            _check_file("model.pretrained", weights)
    elif not name.endswith(".json"):
        check_tag(name, weights)
        if files:
            check_fetchable(name, weights)


def check_fetchable(name: str, tag: str) -> None:
    """Check that the weights of a tag are on this machine, or that their server answers.

    Raises:
        ConfigError: Neither is the case.
    """
    cfg = table("pretrained").get_pretrained_cfg(name, tag)
    if next(cached_files(name, tag), None) is None:
        url = hub.hub() if cfg.get("hf_hub") else cfg.get("url", "")
        hub.check_server(url, "model.pretrained", repr(tag), NO_WEIGHTS)


def unknown_name(name: str) -> ConfigError:
    """Build the error for a model name that open_clip does not have."""
    schema, _, repo = name.partition(":")
    if schema in _SCHEMAS and repo:
        folder = "FOLDER" if schema == "hf-hub" else repo
        fetched = f"fetch it with `hf download {repo} --local-dir FOLDER`, and " * (
            schema == "hf-hub"
        )
        return ConfigError(
            "model.name",
            repr(name),
            f"is not fetched by this name; {fetched}write name: {folder}/open_clip_config.json and "
            f"pretrained: {folder}/open_clip_model.safetensors",
        )
    near = difflib.get_close_matches(name, model_names(), n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else "see open_clip.list_models()"
    return ConfigError("model.name", repr(name), f"open_clip does not know it; {hint}")


def check_tag(name: str, tag: str, called: str = "") -> None:
    """Refuse a tag that a model of open_clip does not have.

    Args:
        name: Name of the model.
        tag: Tag of its weights.
        called: The model's name in the configuration, if another.

    Raises:
        ConfigError: It has no such tag; names those that it has.
    """
    tags = table("pretrained").list_pretrained_tags_by_model(name)
    if tag not in tags:
        raise ConfigError(
            "model.pretrained",
            repr(tag),
            f"{called or name} has the tags {', '.join(tags) or '(none)'}; or give a file "
            f"ending in {', '.join(WEIGHT_ENDINGS)}",
        )


def _check_file(field: str, url: str) -> None:
    with blamed(field, url):
        if storage.local_size(url) is None:
            storage.version(url)


def _is_file(url: str) -> bool:
    with suppress(TransientError, OSError, ValueError, ImportError):
        return storage.exists(url)
    return False
