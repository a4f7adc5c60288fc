"""Weights of open_clip's models that are on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from seraser_core.open_clip_tables import table

_CLIP_CACHE = Path("~/.cache/clip")
"""Folder in which open_clip keeps weights that come from no hub."""


@dataclass(frozen=True)
class CachedWeights:
    """Weights that a run can use without a network.

    Attributes:
        name: Name of the model.
        pretrained: The tag.
        file: Path of the weights.
        size: Bytes.
    """

    name: str
    pretrained: str
    file: str
    size: int


def cached_weights() -> list[CachedWeights]:
    """Yield the weights of open_clip's tags that are on this machine, by model and tag."""
    return [
        CachedWeights(name, tag, str(path), path.stat().st_size)
        for name, tag in table("pretrained").list_pretrained()
        for path in cached_files(name, tag)
    ]


def is_from_url(file: Path) -> bool:
    """Return whether cached weights come from no hub; such files may be truncated."""
    return file.parent == _CLIP_CACHE.expanduser()


def cached_files(name: str, tag: str) -> Iterator[Path]:
    """Yield the file with the weights of a tag, if it is on this machine."""
    cfg = table("pretrained").get_pretrained_cfg(name, tag)
    constants = table("constants")
    repo, _, file = (cfg.get("hf_hub") or "").rpartition("/")
    for wanted in [file] if file else [constants.HF_SAFE_WEIGHTS_NAME, constants.HF_WEIGHTS_NAME]:
        cached_path = try_to_load_from_cache(repo, wanted) if repo else None
        if isinstance(cached_path, str):
            yield Path(cached_path)
            return
    if url := cfg.get("url"):
        path = _CLIP_CACHE.expanduser() / url.rsplit("/", 1)[-1]
        if path.is_file():
            yield path
