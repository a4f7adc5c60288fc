"""Files that a configuration names: their absolute paths, and the contents of methods' files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from seraser_core import storage
from seraser_core.config.methods.contexts import is_context_file
from seraser_core.config.methods.templates import TEMPLATE_SETS
from seraser_core.config.options import RunConfig
from seraser_core.config.secrets import PLAIN_URL, URL_RULE
from seraser_core.config.yaml_files import parse_yaml
from seraser_core.errors import ConfigError, TransientError
from seraser_core.redaction import SECRET_URL

_MODEL_FILE_ENDINGS = (".json", ".safetensors", ".pt", ".bin", ".pth")
_METHODS = ("methods.*", "grid.methods.*")
_FILES: tuple[tuple[Sequence[str], Sequence[str], Callable[[str], bool]], ...] = (
    (("dataset", "grid.datasets.*"), ("path", "classes", "masks"), lambda text: True),
    (
        ("model", "grid.models.*"),
        ("name", "pretrained"),
        lambda text: text.endswith(_MODEL_FILE_ENDINGS) or text.startswith((".", "/", "~")),
    ),
    (("segment",), ("detector", "segmenter"), lambda text: text.startswith((".", "/", "~"))),
    (
        _METHODS,
        ("templates", "prompts", "insights", "pairs"),
        lambda text: text not in TEMPLATE_SETS,
    ),
    (_METHODS, ("contexts",), is_context_file),
)
"""Group of options in a tree, its options that may name files, and a test whether a text does."""


def absolute_paths(tree: dict[str, Any], base: str | Path) -> dict[str, Any]:
    """Return the tree with every relative path joined to the folder `base`.

    Raises:
        ConfigError: A path begins with the home of a user that this machine does not know.
    """
    tree = {"output": RunConfig.model_fields["output"].default, **tree}
    if isinstance(tree.get("output"), str) and tree["output"]:
        tree["output"] = absolute("output", tree["output"], base)
    for places, names, is_file in _FILES:
        in_full = partial(_in_full, names=names, is_file=is_file, base=base)
        for place in places:
            tree = _change(tree, place.split("."), in_full)
    return tree


def with_files(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the tree with the contents of methods' files in place of their names.

    Raises:
        ConfigError: A file cannot be read or does not hold what it should.
    """
    for place in _METHODS:
        tree = _change(tree, place.split("."), _read_files)
    return tree


def absolute(field: str, url: str, base: str | Path) -> str:
    """Return the absolute form of `url`, see `storage.absolute`.

    Raises:
        ConfigError: It begins with the home of a user that this machine does not know.
    """
    try:
        return storage.absolute(url, base)
    except ValueError as error:
        raise ConfigError(field, repr(url), str(error)) from None


def read_yaml(field: str, location: str) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: The file cannot be read or holds something else; names `field`.
    """
    try:
        tree = parse_yaml(_read(field, location))
    except ValueError as error:
        raise ConfigError(field, location, f"not readable as YAML: {error}") from None
    if not isinstance(tree, dict):
        kinds = {list: "a list (lines that begin with `- `)", type(None): "nothing"}
        raise ConfigError(
            field,
            location,
            f"must hold `key: value` lines at its top level, not {kinds.get(type(tree), 'a text')}",
        )
    return tree


def _change(
    node: Any, place: Sequence[str], how: Callable[[Any, str], Any], field: str = ""
) -> Any:
    """Return `node` with the value at `place` changed by a function of it and its dotted name.

    Args:
        node: A part of a tree.
        place: Keys on the way; ``*`` stands for every key or list member, what lacks is left out.
        how: Makes the new part.
        field: Dotted name of `node`.
    """
    if not place:
        return how(node, field)

    def inner(key: Any, value: Any) -> Any:
        return _change(value, place[1:], how, f"{field}.{key}" if field else str(key))

    if isinstance(node, list) and place[0] == "*":
        return [inner(index, value) for index, value in enumerate(node)]
    if isinstance(node, dict):
        return {k: inner(k, v) if place[0] in ("*", k) else v for k, v in node.items()}
    return node


def _in_full(
    options: Any,
    field: str,
    names: Sequence[str],
    is_file: Callable[[str], bool],
    base: str | Path,
) -> Any:
    """Return a group of options with absolute paths in those of `names` that name files."""
    if not isinstance(options, dict):
        return options
    return options | {
        name: absolute(f"{field}.{name}", options[name], base)
        for name in names
        if isinstance(options.get(name), str) and is_file(options[name])
    }


def _read_files(method: Any, field: str) -> Any:
    """Return a method with the contents of its files in place of their names."""
    if not isinstance(method, dict):
        return method
    method = dict(method)
    templates, prompts = method.get("templates"), method.get("prompts")
    if isinstance(templates, str) and templates not in TEMPLATE_SETS:
        method["templates"] = _read_lines(f"{field}.templates", templates)
    if isinstance(prompts, str):
        method["prompts"] = read_yaml(f"{field}.prompts", prompts)
    contexts, pairs = method.get("contexts"), method.get("pairs")
    if isinstance(contexts, str) and is_context_file(contexts):
        is_mapping = contexts.endswith((".yaml", ".yml"))
        read = read_yaml if is_mapping else _read_lines
        method["contexts"] = read(f"{field}.contexts", contexts)
    if isinstance(pairs, str):
        method |= _read_keys(f"{field}.pairs", pairs, ["pairs"])
    if isinstance(method.get("insights"), str) and not {"reject", "accept"} & method.keys():
        insights = method.pop("insights")
        method |= _read_keys(f"{field}.insights", insights, ["reject", "accept"])
    return method


def _read_keys(field: str, location: str, keys: Sequence[str]) -> dict[str, Any]:
    """The mapping in a YAML file, which must have no other keys than these."""
    tree = read_yaml(field, location)
    if not tree.keys() <= set(keys):
        named = " and ".join(f"`{key}`" for key in keys)
        raise ConfigError(field, sorted(tree), f"the file must hold {named}")
    return tree


def _read_lines(field: str, location: str) -> list[str]:
    content = _read(field, location)
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ConfigError(field, location, f"is no UTF-8 text: {error}") from None
    return [line.strip() for line in lines if line.strip()]


def _read(field: str, location: str) -> bytes:
    if re.search(SECRET_URL, location):
        raise ConfigError(field, location, f"{URL_RULE}; {PLAIN_URL}")
    try:
        return storage.read_bytes(location)
    except FileNotFoundError:
        raise ConfigError(field, location, _not_a_file(location)) from None
    except (OSError, TransientError, ValueError, ImportError) as error:
        raise ConfigError(field, location, f"cannot be read: {error}") from None


def _not_a_file(location: str) -> str:
    """Say what to do about a location where no file is."""
    path = storage.local_path(location)
    if path is None or not path.is_dir():
        return "there is no such file; check the path"
    if (path / "run.json").exists():
        return (
            "is a run directory; give the YAML file of a configuration here, or use the "
            "commands for runs: status, verify, repair, retry-errors, report"
        )
    return "is a folder; give the YAML file of a configuration"
