"""Configurations as commented YAML: what an option means stands above it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel

from seraser_core.config.mistakes import option_group
from seraser_core.config.options import RunConfig

_WIDTH = 96
_ENDLESS = 2**20


def commented(
    tree: Mapping[str, Any],
    offered: Mapping[str, Mapping[str, Any]],
    notes: Mapping[str, str],
    group: type[BaseModel] = RunConfig,
    place: str = "",
) -> str:
    """Return a configuration as YAML, with the descriptions of its options as comments.

    Args:
        tree: The configuration.
        offered: Dotted name of a group -> options that it may need, with a value to begin with;
            they are written as comments where `tree` has them not.
        notes: Dotted name of an option, set or offered -> a line to stand before its description.
        group: The options of `tree`.
        place: Dotted name of the group.
    """
    parts = []
    for name, value in tree.items():
        field, dotted = group.model_fields[name], f"{place}{name}"
        inner = option_group(field.annotation)
        if (
            inner is not None
            and isinstance(value, Mapping)
            and inner.model_fields.keys() >= value.keys()
        ):
            body = commented(value, offered, notes, inner, f"{dotted}.")
            parts.append(f"{name}:\n{textwrap.indent(body, '  ')}")
            continue
        said = [notes[dotted]] if dotted in notes else []
        parts.append(_comment(*said, field.description or "") + _yaml(name, value))
    for name, value in offered.get(place.rstrip("."), {}).items():
        if name not in tree:
            said = [notes[f"{place}{name}"]] if f"{place}{name}" in notes else []
            text = _comment(*said, group.model_fields[name].description or "")
            parts.append(text + textwrap.indent(_yaml(name, value), "# ", lambda line: True))
    return "\n".join(parts) if not place else "".join(parts)


def _comment(*texts: str) -> str:
    lines = [line for text in texts if text for line in textwrap.wrap(text, _WIDTH)]
    return "".join(f"# {line}\n" for line in lines)


def _yaml(name: str, value: Any) -> str:
    """Return an option and its value: short lists on the same line, all else as blocks."""
    if isinstance(value, list) and not any(isinstance(one, list | dict) for one in value):
        line = f"{name}: {_dumped(value, flow=True)}"
        if len(line) <= _WIDTH:
            return line
    return _dumped({name: value}, flow=False)


def _dumped(value: Any, flow: bool) -> str:
    return yaml.safe_dump(
        value, sort_keys=False, allow_unicode=True, width=_ENDLESS, default_flow_style=flow
    )
