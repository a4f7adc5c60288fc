"""Reading YAML, with the line in every error."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

import yaml

from seraser_core.config.secrets import without_secret

# What PyYAML raises for `2024-13-45`, `!!bool x`, `!!timestamp x` and thousands of brackets.
_NO_YAML = (yaml.YAMLError, ValueError, LookupError, AttributeError, ArithmeticError, TypeError)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WINDOWS = re.compile(r"([A-Za-z]:|\\|\.{1,2})\\[^\"]*|[\w.-]+(\\[\w.-]+)+\.\w{1,7}")
"""Paths with backslashes."""
_MOST_ALIASED = 100_000
_FAULTS = (
    (r"found character '\\t'", "a tab where there must be spaces: YAML is indented by spaces"),
    (
        "found unknown escape character|expected escape sequence",
        "a backslash in double quotes begins a special sign; put the path in single quotes, or "
        "write / in place of \\",
    ),
    (
        "mapping values are not allowed",
        "`: ` inside of a value, or an indentation that is not that of the lines before; put the "
        "value in quotes",
    ),
    (
        r"could not find expected ':'|expected <block end>|expected <document start>",
        "a line that does not belong there: check its indentation and the `key: value` before it",
    ),
    ("unexpected end of stream", "a quote or a bracket is not closed"),
    (r"expected ',' or|expected the node content|did not find expected", "a bracket or a comma"),
    (
        "cannot start any token",
        "a value that begins with a sign that means something to YAML; put it in quotes",
    ),
    ("undefined alias", "a value that begins with `*` stands for another; put it in quotes"),
    ("could not determine a constructor", "a tag (`!name`), which is not read; put it in quotes"),
    ("another document|a single document", "a second document after `---`; give one"),
    ("control characters|not allowed|codec can't", "signs that are no text; save it as UTF-8"),
)
"""Message of PyYAML -> description of the fault for people."""


class _Loader(yaml.SafeLoader):
    """Refuses mistakes that PyYAML accepts in silence."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag.endswith(":merge"):
                continue
            if key.value in lines:
                raise yaml.constructor.ConstructorError(
                    problem=f"`{without_secret(key.value)}` a second time, the first is in line "
                    f"{lines[key.value]}; YAML would keep the last one",
                    problem_mark=key.start_mark,
                )
            lines[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: Any) -> Any:
        value = super().construct_scalar(node)
        if node.style == '"' and re.search(r"[\x00-\x1f]", str(value)):
            mark, end = node.start_mark, node.end_mark
            raw = (mark.buffer or "")[mark.pointer + 1 : end.pointer - 1]
            if _WINDOWS.fullmatch(raw):
                raise yaml.constructor.ConstructorError(
                    problem="found unknown escape character", problem_mark=mark
                )
        return value


def as_yaml(value: Any) -> str:
    """Return a parsed value for an error: null, true and dates as YAML has them."""
    if isinstance(value, Mapping):
        pairs = (f"{as_yaml(key)}: {as_yaml(inner)}" for key, inner in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_yaml, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if isinstance(value, date) else repr(value)


def parse_yaml(content: bytes | str) -> Any:
    """Parse a YAML document.

    Raises:
        ValueError: It cannot be read; says why, and in which line.
    """
    try:
        text = content if isinstance(content, str) else _decoded(content)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _refuse_bomb(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except _NO_YAML as error:
        raise ValueError(_said(error)) from None


def _refuse_bomb(root: Any) -> None:
    """Refuse aliases of aliases: a few lines of them fill any memory.

    Raises:
        ValueError: The aliases stand for too many values, or for themselves.
    """
    sizes: dict[int, int | None] = {}

    def size(node: Any) -> int:
        known = sizes.get(id(node), 0)
        if known is None:
            raise ValueError(
                f"line {node.start_mark.line + 1} has an anchor (`&name`) whose value holds its "
                "own alias (`*name`); write the value out"
            )
        if not known:
            sizes[id(node)] = None
            inner = node.value if isinstance(node, yaml.CollectionNode) else ()
            parts = (part for one in inner for part in (one if isinstance(one, tuple) else (one,)))
            known = sizes[id(node)] = 1 + sum(map(size, parts))
        return known

    if size(root) - len(sizes) > _MOST_ALIASED:
        raise ValueError(
            f"its aliases (`*name`) stand for more than {_MOST_ALIASED:,} values; write out those "
            "that are needed"
        )


def _decoded(content: bytes) -> str:
    return content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")


def _said(error: BaseException) -> str:
    """Describe the fault and its place, without the line itself, which may hold a key."""
    if isinstance(error, UnicodeDecodeError):
        line = bytes(error.object[: error.start]).count(b"\n") + 1
        return f"line {line} is no UTF-8 text; save the file as UTF-8"
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or error)
    told = next((text for pattern, text in _FAULTS if re.search(pattern, problem)), None)
    if mark is None:
        return told or problem
    own = problem if problem.startswith("`") else None
    return f"line {mark.line + 1}, column {mark.column + 1} has {own or told or problem}"
