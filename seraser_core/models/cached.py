"""What weights of open_clip's models are on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import open_clip
from huggingface_hub import try_to_load_from_cache
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from open_clip.pretrained import get_pretrained_cfg

_CLIP_CACHE = Path("~/.cache/clip")
"""Where open_clip keeps what comes from no hub."""


@dataclass(frozen=True)
class CachedWeights:
    """Weights that a run can use without a network.

    Attributes:
        name: Of the model.
        pretrained: The tag.
        file: Where they are.
        size: Bytes.
    """

    name: str
    pretrained: str
    file: str
    size: int


def cached_weights() -> list[CachedWeights]:
    """The weights of open_clip's tags that need not be fetched, by model and tag."""
    return [
        CachedWeights(name, tag, str(path), path.stat().st_size)
        for name, tag in open_clip.list_pretrained()
        for path in _first(name, tag)
    ]


def _first(name: str, tag: str) -> Iterator[Path]:
    cfg = get_pretrained_cfg(name, tag)
    repo, _, file = (cfg.get("hf_hub") or "").rpartition("/")
    for wanted in [file] if file else [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME]:
        found = try_to_load_from_cache(repo, wanted) if repo else None
        if isinstance(found, str):
            yield Path(found)
            return
    if url := cfg.get("url"):
        path = _CLIP_CACHE.expanduser() / url.rsplit("/", 1)[-1]
        if path.is_file():
            yield path
