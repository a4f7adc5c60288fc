"""Descriptions of the options: as a list for people, as a JSON schema for editors."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seraser_core.config.formats import offered_formats
from seraser_core.config.grid import GridConfig
from seraser_core.config.loading import describe_options
from seraser_core.config.methods import MethodOptions, method_options
from seraser_core.config.options import RunConfig
from seraser_core.errors import ConfigError

_METHOD = "methods.N."
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NOTES = ("title", "description", "default")
SCHEMA_FILE = "seraser.schema.json"
"""Name under which `seraser init` finds a schema beside the configuration that it writes."""


@dataclass(frozen=True)
class Option:
    """An option.

    Attributes:
        name: Dotted name; those of methods begin with ``methods.N.``.
        default: Its default as YAML has it, or ``required``.
        description: Description for people.
        methods: Methods that have it; none if it is no option of some methods alone.
    """

    name: str
    default: str
    description: str
    methods: tuple[str, ...] = ()


def all_options() -> list[Option]:
    """Return every option; of methods, those that differ in default or description apart."""
    shared = [
        *describe_options(RunConfig),
        *describe_options(GridConfig),
        *describe_options(MethodOptions, _METHOD),
    ]
    having: dict[tuple[str, str, str], list[str]] = {option: [] for option in shared}
    for method, group in method_options().items():
        for option in describe_options(group, _METHOD):
            if option[0].removeprefix(_METHOD) not in MethodOptions.model_fields:
                having.setdefault(option, []).append(method)
    return [Option(*option, tuple(methods)) for option, methods in having.items()]


def find_options(name: str) -> list[Option]:
    """Return the option of this name, or those of a group or a method, as ``methods.seraser``.

    Raises:
        ConfigError: There is none; names the nearest one.
    """
    options = all_options()
    group, _, method = name.partition(".")
    if group == "methods" and method in method_options():
        return [option for option in options if method in option.methods]
    found = [one for one in options if one.name == name or one.name.startswith(f"{name}.")]
    if found:
        return found
    last = [one for one in options if one.name.rpartition(".")[2] == name]
    if last:
        return last
    raise ConfigError("NAME", f"{name} is no option", _near(name, options))


def options_schema() -> dict[str, Any]:
    """Return the JSON schema of a configuration, of one run or with a grid, for editors."""
    schema = RunConfig.model_json_schema()
    types = schema["$defs"]
    grid = GridConfig.model_json_schema()
    types |= grid["$defs"]
    schema["properties"] |= grid["properties"]
    schema["anyOf"] = [{"required": schema.pop("required")}, {"required": grid["required"]}]
    # Short forms, which validators and the reading of files turn into those that are described.
    _allow(schema["properties"]["methods"]["items"], {"enum": list(method_options())})
    _allow(types["DatasetOptions"]["properties"]["split"], {"type": "string"})
    _allow(types["GroupPromptOptions"]["properties"]["prompts"], {"type": "string"})
    _allow(types["OrthCaliOptions"]["properties"]["pairs"], {"type": "string"})
    _allow(types["TieOptions"]["properties"]["pool"], {"const": "self"})
    _allow(types["PoolOptions"]["properties"]["split"], {"type": ["string", "integer"]})
    types["DatasetOptions"]["properties"]["format"]["enum"] = list(offered_formats().members)
    return {"$schema": _DIALECT, **schema}


def _allow(schema: dict[str, Any], also: dict[str, Any]) -> None:
    """Change a schema so that it allows what another one does."""
    kept = {name: schema.pop(name) for name in list(schema) if name in _NOTES}
    before = dict(schema)
    schema.clear()
    schema |= {**kept, "anyOf": [before, also]}


def _near(name: str, options: Sequence[Option]) -> str:
    names = [one.name for one in options]
    groups = {one.rpartition(".")[0] for one in names if "." in one}
    known = [*names, *sorted(groups), *(f"methods.{method}" for method in method_options())]
    last = {one.rpartition(".")[2]: one for one in reversed(known)}
    near = difflib.get_close_matches(name, [*known, *last], n=1, cutoff=0.5)
    return (
        f"did you mean `{last.get(near[0], near[0])}`?" if near else "`seraser options` lists them"
    )
