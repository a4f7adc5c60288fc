"""Reading a run configuration from YAML, with overrides, into checked options."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from seraser_core import storage
from seraser_core.config.base import Options
from seraser_core.config.files import NO_YAML, absolute, absolute_paths, read_yaml, with_files
from seraser_core.config.methods import METHOD_OPTIONS
from seraser_core.config.options import RunConfig
from seraser_core.config.secrets import is_secret_key, refuse_secret_url
from seraser_core.errors import ConfigError
from seraser_core.redaction import SECRET_URL

_Group = TypeVar("_Group", bound=Options)
_NUMBER_OR_TEXT = ("int", "constrained-int", "str")


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
        source: As of `load_config`.
        overrides: As of `load_config`.

    Raises:
        ConfigError: A file cannot be read, or an override cannot be set.
    """
    if isinstance(source, Mapping):
        tree: dict[str, Any] = deepcopy(dict(source))
    else:
        _refuse_secret("config", str(source))
        location = absolute("config", str(source), Path.cwd())
        tree = absolute_paths(read_yaml("config", location), storage.parent(location))
    for override in overrides:
        _override(tree, override)
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
        raise _explain(error, group) from None


def describe_options(
    model: type[BaseModel] = RunConfig, prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Every option as (dotted name, default, description), for help and documentation."""
    for name, field in model.model_fields.items():
        inner = _option_group(field.annotation)
        if inner is not None:
            yield from describe_options(inner, f"{prefix}{name}.")
            continue
        default = (
            "required"
            if field.is_required()
            else repr(field.get_default(call_default_factory=True))
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
    except ValueError as error:
        found, _, remedy = str(error).removeprefix(f"{field}: ").rpartition("; ")
        raise ConfigError(field, found, remedy) from None


def _override(tree: dict[str, Any], text: str) -> None:
    key, separator, value = text.partition("=")
    if "storage_options" in key or any(map(is_secret_key, key.split("."))):
        text = f"{key}=***"
    if not separator or not key:
        raise ConfigError("--set", text, "write it as name.of.option=value")
    try:
        parsed = yaml.safe_load(value)
    except RecursionError:
        raise ConfigError("--set", f"{text[:60]}...", "is nested too deeply") from None
    except NO_YAML:
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


def _option_group(annotation: Any) -> type[BaseModel] | None:
    candidates = [annotation, *get_args(annotation)]
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _known_keys(group: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the options at `location` inside of `group`."""
    for part in location:
        if isinstance(part, int):
            continue
        if part in METHOD_OPTIONS:
            group = METHOD_OPTIONS[part]
        elif part in group.model_fields:
            group = _option_group(group.model_fields[part].annotation) or group
    return list(group.model_fields)


def _explain(error: ValidationError, group: type[BaseModel]) -> ConfigError:
    first = error.errors(include_url=False)[0]
    location = first["loc"]
    # Without the names that pydantic gives to the members of a union.
    if location and location[-1] in _NUMBER_OR_TEXT and first["type"] != "extra_forbidden":
        location = location[:-1]
    named = [str(p) for p in location if p not in METHOD_OPTIONS and "[" not in str(p)]
    field = ".".join(named) or "config"
    value, message = first.get("input"), str(first["msg"])
    if first["type"] == "extra_forbidden":
        known = _known_keys(group, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
        return ConfigError(field, "unknown key", hint)
    if first["type"] == "union_tag_invalid":
        tag = value.get("name") if isinstance(value, dict) else value
        near = difflib.get_close_matches(str(tag), list(METHOD_OPTIONS), n=1, cutoff=0.4)
        hint = f"did you mean `{near[0]}`? " if near else ""
        return ConfigError(
            field, f"unknown method {tag!r}", f"{hint}methods: {', '.join(METHOD_OPTIONS)}"
        )
    if first["type"] == "missing":
        return ConfigError(field, "missing", "this option is required")
    if first["type"] == "union_tag_not_found":
        return ConfigError(
            field, _shown(field, value), f"needs the method's `name`: {', '.join(METHOD_OPTIONS)}"
        )
    if first["type"] == "value_error":
        message = message.removeprefix("Value error, ")
        name, _, rest = message.partition(": ")
        if name.split(".")[0] in _known_keys(group, location):
            # A rule between options: "option: what was found; remedy".
            found, _, remedy = rest.rpartition("; ")
            return ConfigError(f"{field}.{name}" if location else name, found, remedy)
    return ConfigError(field, _shown(field, value), message)


def _shown(field: str, value: Any) -> str:
    """A value that is refused, for people; not one that may hold a key."""
    shown = repr(value)
    hidden = "storage_options" in field or _has_secret_key(value) or re.search(SECRET_URL, shown)
    return "(hidden: holds a secret)" if hidden else shown


def _has_secret_key(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(is_secret_key(str(key)) or _has_secret_key(v) for key, v in value.items())
    return isinstance(value, list | tuple) and any(map(_has_secret_key, value))
