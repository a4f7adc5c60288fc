"""Mistakes in a configuration, each told as field, value and remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from seraser_core.config.methods import method_options, offered_methods
from seraser_core.config.secrets import is_secret_key, names_secret, without_secret
from seraser_core.config.yaml_files import as_yaml
from seraser_core.errors import ConfigError, SeveralMistakesError
from seraser_core.redaction import SECRET_URL

_MOST_SHOWN = 80
PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$": "letters, digits, `_`, `.` and `-`, the first one a "
    "letter or digit, at most 100 in all",
    r"^[A-Za-z0-9][A-Za-z0-9_.-]*$": "letters, digits, `_`, `.` and `-`, the first one a letter or "
    "digit",
    r"^[A-Za-z0-9_.+-]*$": "letters, digits, `_`, `.`, `+` and `-`",
    r"^[^{}]*[^{}\s][^{}]*$": "words without braces",
    r"^[A-Za-z_][\w.]*\.[A-Za-z_]\w*$": "the name of a class with its module, such as "
    "dask_jobqueue.SLURMCluster",
    r"^/.+\.prom$": "a whole path that ends in .prom, such as /var/lib/node_exporter/seraser.prom",
}
"""Every pattern of an option of ours -> what follows it, in words."""
_TEXT, _WHOLE, _NUMBER = "a text", "a whole number", "a number"
_LIST, _GROUP = "a list, as [a, b]", "a group of options, as {key: value}"
_WANTED: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "bool_parsing": lambda _: "true or false",
    "bool_type": lambda _: "true or false",
    "dict_type": lambda _: "a mapping, as {key: value}",
    "finite_number": lambda _: "a finite number",
    "float_parsing": lambda _: _NUMBER,
    "float_type": lambda _: _NUMBER,
    "greater_than": lambda ctx: f"greater than {ctx['gt']:,}",
    "greater_than_equal": lambda ctx: f"{ctx['ge']:,} or more",
    "int_from_float": lambda _: _WHOLE,
    "int_parsing": lambda _: _WHOLE,
    "int_parsing_size": lambda _: "a number of fewer digits",
    "int_type": lambda _: _WHOLE,
    "less_than": lambda ctx: f"less than {ctx['lt']:,}",
    "less_than_equal": lambda ctx: f"{ctx['le']:,} or less",
    "list_type": lambda _: _LIST,
    "literal_error": lambda ctx: _one_of(ctx["expected"]),
    "model_attributes_type": lambda _: _GROUP,
    "model_type": lambda _: _GROUP,
    "string_pattern_mismatch": lambda ctx: PATTERNS.get(
        ctx["pattern"], f"a text that matches {ctx['pattern']}"
    ),
    "string_too_long": lambda ctx: f"at most {_letters(ctx['max_length'])} long",
    "string_too_short": lambda ctx: f"at least {_letters(ctx['min_length'])} long",
    "string_type": lambda _: _TEXT,
    "string_unicode": lambda _: "valid Unicode",
    "too_long": lambda ctx: f"at most {_values(ctx['max_length'])}, not {ctx['actual_length']}",
    "too_short": lambda ctx: f"at least {_values(ctx['min_length'])}, not {ctx['actual_length']}",
    "tuple_type": lambda _: _LIST,
}
"""Type of an error of pydantic -> what the value must be, as it follows on `must be`."""
_KINDS = ("bool_type", "dict_type", "float_type", "int_type", "list_type", "string_type")
_LABELS = re.compile(r"[a-z-]+\[.*\]|constrained-(int|float|str)|int|float|str|bool|[A-Z]\w+")
"""Pydantic's names for the members of a union in the location of an error."""


def explain(error: ValidationError, group: type[BaseModel], tree: Any) -> ConfigError:
    """Return the mistakes that pydantic found in `tree`, the options of `group`, in our words."""
    details_of: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        details_of.setdefault(_field(detail, tree), []).append(detail)
    # The best match in a union is the member with the deepest error.
    shallow = {
        field
        for field, details in details_of.items()
        if all(detail["type"] in _KINDS for detail in details)
        and any(other.startswith(f"{field}.") for other in details_of)
    }
    return one_of_all(
        _mistake(field, details, group)
        for field, details in details_of.items()
        if field not in shallow
    )


def one_of_all(mistakes: Iterable[ConfigError]) -> ConfigError:
    """Return one error for one or more mistakes, each told once."""
    unlike = list({str(mistake): mistake for mistake in mistakes}.values())
    return unlike[0] if len(unlike) == 1 else SeveralMistakesError(unlike)


def unknown_key(
    field: str, key: str, known: Sequence[str], elsewhere: Iterable[str]
) -> ConfigError:
    """Build the mistake of an option that its group does not have.

    Args:
        field: Dotted name of the option.
        key: Its last part.
        known: The options of its group.
        elsewhere: Dotted names of the options of all groups.
    """
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    moved = [name for name in elsewhere if name.rpartition(".")[2] == key and name != field]
    if near:
        hint = f"did you mean `{near[0]}`?"
    elif moved:
        hint = f"did you mean `{moved[0]}`?"
    else:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
    return ConfigError(field, "unknown key", hint)


def _field(detail: ErrorDetails, tree: Any) -> str:
    """Dotted name of the option at fault, without the names that pydantic gives to unions."""
    named, node = [], tree
    *path, last = detail["loc"] or ("",)
    for part in path:
        inside = _inside(node, part)
        if inside is not None or not _is_label(part):
            named.append(str(part))
            node = inside
    if last not in ("", "[key]") and (
        detail["type"] in ("missing", "extra_forbidden")
        or _inside(node, last) is not None
        or not _is_label(last)
    ):
        named.append(str(last))
    # A key may be a whole `token:hunter2` without the space.
    return ".".join(map(without_secret, named)) or "config"


def _inside(node: Any, part: int | str) -> Any:
    """Return the value at `part` of a mapping or a list; None if there is none."""
    if isinstance(node, Mapping):
        return node.get(part)
    if isinstance(node, list | tuple) and isinstance(part, int) and part < len(node):
        return node[part]
    return None


def _is_label(part: int | str) -> bool:
    return isinstance(part, str) and (part in method_options() or bool(_LABELS.fullmatch(part)))


def _mistake(field: str, details: Sequence[ErrorDetails], group: type[BaseModel]) -> ConfigError:
    first = details[0]
    value, location = first.get("input"), first["loc"]
    if first["type"] == "extra_forbidden":
        known = known_keys(group, location[:-1])
        return unknown_key(field, str(location[-1]), known, _names(group))
    if first["type"] == "missing":
        return ConfigError(field, "missing", _needed(field, location))
    if first["type"] == "union_tag_invalid":
        return _unknown_method(field, value)
    if first["type"] == "union_tag_not_found":
        methods = ", ".join(method_options())
        return ConfigError(field, shown(field, value), f"needs the method's `name`: {methods}")
    if first["type"] == "mistake":
        wrong, remedy, option = (first["ctx"][name] for name in ("value", "remedy", "option"))
        place = [*([field] if location else []), *([option] if option else [])]
        return ConfigError(".".join(place) or field, wrong, remedy)
    if first["type"] == "value_error":
        said = str(first["msg"]).removeprefix("Value error, ")
        return ConfigError(field, shown(field, value), said)
    wanted = [text for detail in details for text in _wanted(detail)]
    return ConfigError(field, shown(field, value), _remedy(value, list(dict.fromkeys(wanted))))


def _unknown_method(field: str, value: Any) -> ConfigError:
    tag = value.get("name") if isinstance(value, dict) else value
    if fault := offered_methods().faults.get(str(tag)):
        return ConfigError(field, fault.problem, fault.remedy)
    near = difflib.get_close_matches(str(tag), list(method_options()), n=1, cutoff=0.4)
    hint = f"did you mean `{near[0]}`? " if near else ""
    methods = ", ".join(method_options())
    return ConfigError(field, f"unknown method {as_yaml(tag)}", f"{hint}methods: {methods}")


def _needed(field: str, location: Sequence[int | str]) -> str:
    if location and isinstance(location[-1], int):
        return f"the list {field.rpartition('.')[0]} needs {_values(location[-1] + 1)}"
    return "this option is required"


def _wanted(detail: ErrorDetails) -> list[str]:
    """Describe the values that are allowed; empty for faults that no option of ours can have."""
    say = _WANTED.get(detail["type"])
    return [say(detail.get("ctx", {}))] if say else []


def _remedy(value: Any, wanted: list[str]) -> str:
    remedy = f"must be {', or '.join(wanted)}" if wanted else "cannot be used; see docs/options.md"
    choices = [name for text in wanted for name in re.findall("`([^`]+)`", text)]
    if isinstance(value, str):
        near = difflib.get_close_matches(value.lower(), choices, n=1, cutoff=0.5)
        if near:
            remedy = f"did you mean `{near[0]}`? {remedy}"
    elif _TEXT in wanted and isinstance(value, bool):
        remedy += "; YAML takes yes, no, on, off, true and false for truth: put it in quotes"
    elif _TEXT in wanted and isinstance(value, int | float):
        remedy += f"; put it in quotes, as '{value}'"
    elif _TEXT in wanted and isinstance(value, date):
        remedy += f"; YAML takes it for a date: put it in quotes, as '{value}'"
    return remedy


def _one_of(expected: str) -> str:
    """The choices that pydantic lists as ``'a', 'b' or 'c'``."""
    names = re.findall(r"'((?:[^'\\]|\\.)*)'", expected)
    *most, last = [f"`{name}`" for name in names] or [expected]
    return f"{', '.join(most)} or {last}" if most else last


def _letters(number: int) -> str:
    return f"{number} letter{'' if number == 1 else 's'}"


def _values(number: int) -> str:
    return f"{number} value{'' if number == 1 else 's'}"


def known_keys(group: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Names of the options at `location` inside of `group`."""
    for part in location:
        if isinstance(part, int):
            continue
        if part in method_options():
            group = method_options()[part]
        elif part in group.model_fields:
            group = option_group(group.model_fields[part].annotation) or group
    return list(group.model_fields)


def _names(group: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of all options of a group."""
    for name, field in group.model_fields.items():
        yield f"{prefix}{name}"
        inner = option_group(field.annotation)
        if inner is not None:
            yield from _names(inner, f"{prefix}{name}.")


def option_group(annotation: Any) -> type[BaseModel] | None:
    """The group of options that an annotation stands for, if it is one or null."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def shown(field: str, value: Any) -> str:
    """Return a refused value as YAML writes it, without what may be a key."""
    text = as_yaml(value)
    if "storage_options" in field + text or _has_secret_key(value) or _is_secret_text(value, text):
        return "(hidden: holds a secret)"
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."


def _is_secret_text(value: Any, text: str) -> bool:
    return bool(re.search(SECRET_URL, text)) or (isinstance(value, str) and names_secret(value))


def _has_secret_key(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(is_secret_key(str(key)) or _has_secret_key(v) for key, v in value.items())
    return isinstance(value, list | tuple) and any(map(_has_secret_key, value))
