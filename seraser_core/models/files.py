"""The files that models are read from, named without loading any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from seraser_core import storage
from seraser_core.config.auxiliary import SegmentOptions
from seraser_core.config.options import ModelOptions, is_folder
from seraser_core.errors import ConfigError, SeraserError
from seraser_core.models.cached import cached_files

WEIGHT_ENDINGS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


def weight_files(url: str) -> list[str]:
    """The files with the weights at `url`: itself, or the parts that transformers has cut it into.

    Raises:
        ConfigError: The index of the parts is damaged, or names files elsewhere.
        As `storage.read_bytes`.
    """
    index = f"{url}.index.json"
    if not url.endswith(".safetensors") or storage.exists(url) or not storage.exists(index):
        return [url]
    try:
        names = set(storage.read_json(index)["weight_map"].values())
        if not names or any("/" in name or not name.endswith(".safetensors") for name in names):
            raise ValueError(f"it names {sorted(names)}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            "model.pretrained", index, f"is no index of safetensors beside it: {error}"
        ) from None
    return [storage.join(storage.parent(url), name) for name in sorted(names)]


def given_files(options: ModelOptions) -> Iterator[str]:
    """List the files that a model's options name: all of those on this machine, and elsewhere
    those for which one request is enough.
    """
    name, weights = options.name, options.pretrained
    with suppress(SeraserError, OSError, ValueError, ImportError):
        if is_folder(name):
            files = storage.list_files(name) if storage.local_path(name) else ["config.json"]
            yield from (storage.join(name, file) for file in files)
        elif name.endswith(".json"):
            yield name
        if weights is not None and weights.endswith(WEIGHT_ENDINGS):
            yield from weight_files(weights) if storage.local_path(weights) else [weights]


def model_files(options: ModelOptions) -> Iterator[str]:
    """Yield all files and folders whose change may change the model.

    Raises:
        ValueError: They cannot all be named.
        As `storage.read_bytes`.
    """
    name, weights = options.name, options.pretrained
    if is_folder(name):
        if storage.local_path(name) is None:
            raise ValueError(f"{name} may be in parts")
        yield name
    elif name.endswith(".json"):
        yield name
    if weights is None:
        return
    if weights.endswith(WEIGHT_ENDINGS):
        parts = weight_files(weights)
        yield from parts
        if parts != [weights]:
            yield f"{weights}.index.json"
        return
    here = list(cached_files(name, weights))
    if not here:
        raise ValueError(f"the weights {weights} are not on this machine")
    for path in here:
        yield str(path)
        yield from map(str, _revision(path))


def segment_files(options: SegmentOptions) -> list[str]:
    """Folders of the models that make masks.

    Raises:
        ValueError: They are not on this machine.
    """
    names = [options.detector, options.segmenter]
    if not all(is_folder(name) and storage.local_path(name) for name in names):
        raise ValueError("a change of models of the hub would not show")
    return names


def _revision(path: Path) -> Iterator[Path]:
    """Path of the file that names the current revision of a file in the hub's cache."""
    if path.parents[1].name == "snapshots":
        yield path.parents[2] / "refs" / "main"
