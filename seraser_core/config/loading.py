"""Reading a run configuration from YAML, with overrides, into checked options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from seraser_core import storage
from seraser_core.config.mistakes import explain, one_of_all, option_group
from seraser_core.config.named_files import absolute, absolute_paths, read_yaml, with_files
from seraser_core.config.option_group import Options
from seraser_core.config.options import RunConfig
from seraser_core.config.secrets import refuse_secret_url, without_secret
from seraser_core.config.yaml_files import as_yaml, parse_yaml
from seraser_core.errors import ConfigError

_Group = TypeVar("_Group", bound=Options)


def load_config(source: str | Path | Mapping[str, Any], overrides: Iterable[str] = ()) -> RunConfig:
    """Load a configuration.

    Args:
        source: Path or URL of a YAML file, or the same tree as a mapping. Relative paths in a
            file are relative to that file; in a mapping and in overrides, to the current folder.
        overrides: ``a.b=value`` texts; values are YAML, list members are numbered
            (``methods.1.lr=0.01``).

    Raises:
        ConfigError: The file cannot be read, or a key or value is not allowed.
    """
    return parse_config(load_tree(source, overrides))


def load_tree(
    source: str | Path | Mapping[str, Any], overrides: Iterable[str] = ()
) -> dict[str, Any]:
    """The tree of a configuration, or of a grid of them, that is still to be checked.

    Its paths are absolute, and what the files of methods hold is part of it.

    Args:
        source: See `load_config`.
        overrides: See `load_config`.

    Raises:
        ConfigError: A file cannot be read, or an override cannot be set.
    """
    if isinstance(source, Mapping):
        tree: dict[str, Any] = deepcopy(dict(source))
    else:
        _refuse_secret("config", str(source))
        location = absolute("config", str(source), Path.cwd())
        tree = absolute_paths(read_yaml("config", location), storage.parent(location))
    wrong = []
    for override in overrides:
        try:
            _override(tree, override)
        except ConfigError as error:
            wrong.append(error)
    if wrong:
        raise one_of_all(wrong)
    return with_files(absolute_paths(tree, Path.cwd()))


def parse_config(tree: Mapping[str, Any]) -> RunConfig:
    """Check a configuration tree whose paths are absolute.

    Raises:
        ConfigError: A key or value is not allowed; names the field, the value and the remedy.
    """
    if "grid" in tree:
        raise ConfigError("grid", "is of several runs", "use `seraser compare`")
    return parse_options(RunConfig, tree)


def parse_options(group: type[_Group], tree: Mapping[str, Any]) -> _Group:
    """Check the options of one group.

    Raises:
        ConfigError: As of `parse_config`.
    """
    try:
        _check_texts(tree, "")
        return group.model_validate(tree)
    except RecursionError:
        raise ConfigError("config", "nested too deeply", "write plain options") from None
    except ValidationError as error:
        raise explain(error, group, tree) from None


def describe_options(
    model: type[BaseModel] = RunConfig, prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Every option as (dotted name, default as YAML, description), see `all_options`."""
    for name, field in model.model_fields.items():
        inner = option_group(field.annotation)
        if inner is not None:
            yield from describe_options(inner, f"{prefix}{name}.")
            continue
        default = (
            "required"
            if field.is_required()
            else as_yaml(field.get_default(call_default_factory=True)).replace("'", "")
        )
        if name == "methods":
            default = "[zero_shot, seraser]"
        yield f"{prefix}{name}", default, field.description or ""


def _check_texts(node: Any, field: str) -> None:
    """Refuse texts such as "\\ud800", which no file and no tokenizer takes, and URLs with keys."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            _check_texts(str(key), field or "config")
            _check_texts(value, f"{field}.{key}" if field else str(key))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            _check_texts(value, f"{field}.{index}")
    elif isinstance(node, str):
        try:
            node.encode()
        except UnicodeEncodeError:
            raise ConfigError(
                field, ascii(node), "is no valid Unicode text; write it anew"
            ) from None
        _refuse_secret(field, node)


def _refuse_secret(field: str, text: str) -> None:
    try:
        refuse_secret_url(field, text)
    except PydanticCustomError as error:
        told = error.context or {}
        raise ConfigError(field, told["value"], told["remedy"]) from None


def _override(tree: dict[str, Any], text: str) -> None:
    key, separator, value = text.partition("=")
    if "storage_options" in text or without_secret(f"{text} .") != f"{text} .":
        text = f"{without_secret(key)}=***" if separator else without_secret(text)
    if not separator or not key:
        raise ConfigError("--set", text, "write it as name.of.option=value")
    try:
        parsed = parse_yaml(value)
    except ValueError as error:
        if "nested too deeply" in str(error):
            raise ConfigError("--set", f"{text[:60]}...", "is nested too deeply") from None
        if "alias" in str(error):
            raise ConfigError("--set", f"{text[:60]}...", str(error)) from None
        if "a second time" in str(error):
            raise ConfigError("--set", text, str(error)) from None
        parsed = value
    *parents, last = key.split(".")
    if parents and parents[0] == "methods" and tree.get("methods") is None:
        raise ConfigError(
            "--set",
            text,
            "the configuration has no `methods` to change; write them in it, or set the whole "
            "list: --set 'methods=[zero_shot, {name: seraser, steps: 3}]'",
        )
    node: Any = tree
    for part in parents:
        node = _step(node, part, text)
    if isinstance(node, list):
        node[_index(node, last, text)] = parsed
    elif isinstance(node, dict):
        node[last] = parsed
    else:
        raise ConfigError("--set", text, f"{key} is not inside a group of options")


def _step(node: Any, part: str, text: str) -> Any:
    if isinstance(node, list):
        index = _index(node, part, text)
        if isinstance(node[index], str):
            node[index] = {"name": node[index]}
        return node[index]
    if not isinstance(node, dict):
        raise ConfigError("--set", text, f"{part} is not inside a group of options")
    if node.get(part) is None:
        node[part] = {}
    return node[part]


def _index(node: list[Any], part: str, text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", part) or int(part) >= len(node):
        raise ConfigError("--set", text, f"use a number from 0 to {len(node) - 1} for {part!r}")
    return int(part)
