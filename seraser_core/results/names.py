"""Short names of data sets and models, from the configuration of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def dataset_name(options: Mapping[str, Any]) -> str:
    """Return a data set in a few words: the name of a benchmark, or the end of its path."""
    name = options.get("name") or "/".join(str(options.get("path", "")).rstrip("/").split("/")[-2:])
    if options.get("metadata"):
        name += f" ({options['metadata']})"
    values = (options.get("split") or {}).get("values", [])
    return " ".join([name, *(["split"] if values else []), *map(str, values)])


def model_name(options: Mapping[str, Any]) -> str:
    """Return a model in a few words: its name, and the tag of its weights if it has one."""
    name = str(options["name"]).rstrip("/").rsplit("/", 1)[-1].removesuffix(".json")
    tag = options.get("pretrained")
    return f"{name} {tag}" if tag and "/" not in tag else name
