"""Reading a run configuration from YAML, with overrides, into checked options."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from seraser_core import storage
from seraser_core.config.methods import METHOD_OPTIONS, TEMPLATE_SETS
from seraser_core.config.options import RunConfig
from seraser_core.config.secrets import REFUSED_URL
from seraser_core.errors import ConfigError, TransientError

_MODEL_FILE_ENDINGS = (".json", ".safetensors", ".pt", ".bin", ".pth")
_METHOD_FILES = ("templates", "prompts", "insights")
# What PyYAML raises for `2024-13-45`, `!!bool x`, `!!timestamp x` and thousands of brackets.
_NO_YAML = (yaml.YAMLError, ValueError, LookupError, AttributeError, ArithmeticError, TypeError)
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
    if isinstance(source, Mapping):
        tree: dict[str, Any] = deepcopy(dict(source))
    else:
        location = _absolute("config", str(source), Path.cwd())
        tree = _absolute_paths(_read_yaml("config", location), storage.parent(location))
    for override in overrides:
        _override(tree, override)
    return parse_config(_each_method(_absolute_paths(tree, Path.cwd()), _read_files))


def parse_config(tree: Mapping[str, Any]) -> RunConfig:
    """Check a configuration tree whose paths are absolute.

    Raises:
        ConfigError: A key or value is not allowed; names the field, the value and the remedy.
    """
    try:
        _refuse_surrogates(tree, "")
        return RunConfig.model_validate(tree)
    except RecursionError:
        raise ConfigError("config", "nested too deeply", "write plain options") from None
    except ValidationError as error:
        raise _explain(error) from None


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


def _read(field: str, location: str) -> bytes:
    try:
        return storage.read_bytes(location)
    except FileNotFoundError:
        raise ConfigError(field, location, "there is no such file; check the path") from None
    except (OSError, TransientError, ValueError, ImportError) as error:
        raise ConfigError(field, location, f"cannot be read: {error}") from None


def _read_yaml(field: str, location: str) -> dict[str, Any]:
    content = _read(field, location)
    try:
        tree = yaml.safe_load(content)
    except (*_NO_YAML, RecursionError) as error:
        raise ConfigError(field, location, f"not readable as YAML: {error}") from None
    if not isinstance(tree, dict):
        raise ConfigError(field, location, "must hold `key: value` lines at its top level")
    return tree


def _absolute_files(method: Any, field: str, base: str | Path) -> Any:
    """A method whose options that name files name them in full."""
    if not isinstance(method, dict):
        return method
    files = {
        k: _absolute(f"{field}.{k}", method[k], base)
        for k in _METHOD_FILES
        if isinstance(method.get(k), str) and method[k] not in TEMPLATE_SETS
    }
    return {**method, **files}


def _read_files(method: Any, field: str) -> Any:
    """A method with what its files hold in place of their names."""
    if not isinstance(method, dict):
        return method
    method = dict(method)
    templates, prompts = method.get("templates"), method.get("prompts")
    if isinstance(templates, str) and templates not in TEMPLATE_SETS:
        method["templates"] = _read_lines(f"{field}.templates", templates)
    if isinstance(prompts, str):
        method["prompts"] = _read_yaml(f"{field}.prompts", prompts)
    if isinstance(method.get("insights"), str) and not {"reject", "accept"} & method.keys():
        insights = _read_yaml(f"{field}.insights", method.pop("insights"))
        if not insights.keys() <= {"reject", "accept"}:
            raise ConfigError(
                f"{field}.insights", sorted(insights), "the file must hold `reject` and `accept`"
            )
        method |= insights
    return method


def _each_method(tree: dict[str, Any], change: Callable[[Any, str], Any]) -> dict[str, Any]:
    """The tree with every method, named ``methods.N``, changed."""
    methods = tree.get("methods")
    if not isinstance(methods, list):
        return tree
    return {**tree, "methods": [change(m, f"methods.{i}") for i, m in enumerate(methods)]}


def _read_lines(field: str, location: str) -> list[str]:
    content = _read(field, location)
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(field, location, f"is no UTF-8 text: {error}") from None
    return [line.strip() for line in lines if line.strip()]


def _absolute_paths(tree: dict[str, Any], base: str | Path) -> dict[str, Any]:
    tree = {"output": RunConfig.model_fields["output"].default, **tree}
    if isinstance(tree.get("output"), str) and tree["output"]:
        tree["output"] = _absolute("output", tree["output"], base)
    if isinstance(dataset := tree.get("dataset"), dict):
        paths = {
            k: _absolute(f"dataset.{k}", dataset[k], base)
            for k in ("path", "classes")
            if isinstance(dataset.get(k), str)
        }
        tree["dataset"] = {**dataset, **paths}
    if isinstance(model := tree.get("model"), dict):
        paths = {
            k: _absolute(f"model.{k}", model[k], base)
            for k in ("name", "pretrained")
            if isinstance(model.get(k), str) and model[k].endswith(_MODEL_FILE_ENDINGS)
        }
        tree["model"] = {**model, **paths}
    return _each_method(tree, lambda method, field: _absolute_files(method, field, base))


def _absolute(field: str, url: str, base: str | Path) -> str:
    try:
        return storage.absolute(url, base)
    except ValueError as error:
        raise ConfigError(field, repr(url), str(error)) from None


def _refuse_surrogates(node: Any, field: str) -> None:
    """Refuse texts such as "\\ud800", which no file and no tokenizer takes."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            _refuse_surrogates(str(key), field or "config")
            _refuse_surrogates(value, f"{field}.{key}" if field else str(key))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            _refuse_surrogates(value, f"{field}.{index}")
    elif isinstance(node, str):
        try:
            node.encode()
        except UnicodeEncodeError:
            raise ConfigError(
                field, ascii(node), "is no valid Unicode text; write it anew"
            ) from None


def _override(tree: dict[str, Any], text: str) -> None:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ConfigError("--set", text, "write it as name.of.option=value")
    try:
        parsed = yaml.safe_load(value)
    except RecursionError:
        raise ConfigError("--set", f"{text[:60]}...", "is nested too deeply") from None
    except _NO_YAML:
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


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    group: type[BaseModel] = RunConfig
    for part in location:
        if isinstance(part, int):
            continue
        if part in METHOD_OPTIONS:
            group = METHOD_OPTIONS[part]
        elif part in group.model_fields:
            group = _option_group(group.model_fields[part].annotation) or group
    return list(group.model_fields)


def _explain(error: ValidationError) -> ConfigError:
    first = error.errors(include_url=False)[0]
    location = first["loc"]
    # Without the names that pydantic gives to the members of a union.
    if location and location[-1] in _NUMBER_OR_TEXT and first["type"] != "extra_forbidden":
        location = location[:-1]
    named = [str(p) for p in location if p not in METHOD_OPTIONS and "[" not in str(p)]
    field = ".".join(named) or "config"
    value, message = first.get("input"), str(first["msg"])
    if first["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
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
            field, _shown(value), f"needs the method's `name`: {', '.join(METHOD_OPTIONS)}"
        )
    if first["type"] == "value_error":
        message = message.removeprefix("Value error, ")
        name, _, rest = message.partition(": ")
        if name.split(".")[0] in _known_keys(location):
            # A rule between options: "option: what was found; remedy".
            found, _, remedy = rest.rpartition("; ")
            return ConfigError(f"{field}.{name}" if location else name, found, remedy)
    return ConfigError(field, _shown(value), message)


def _shown(value: Any) -> str:
    shown = repr(value)
    return "(hidden: holds a secret)" if re.search(REFUSED_URL, shown) else shown
