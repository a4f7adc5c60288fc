"""Names of many files at once: ``x-{000000..000009}.tar``, ``s3://bucket/prefix/**.jpg``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from seraser_core import storage
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError
from seraser_core.sources.folder import find

_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
_WILDCARD = re.compile(r"[*?\[]")
_MOST_NAMES = 1_000_000
_REGULAR = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def expand(options: DatasetOptions) -> dict[str, int | None]:
    """The files that ``dataset.path`` names, with their sizes where a folder was listed for them.

    ``{000..009}`` and ``{a,b}`` stand for all of their names, which need not exist. ``*`` and ``?``
    stand for anything but ``/``, ``**`` for anything; hidden files and folders are passed over.

    Returns:
        URL -> bytes or None; in the order of the names, or sorted where a folder was listed.

    Raises:
        ConfigError: Nothing is found, or the folder cannot be listed.
    """
    found: dict[str, int | None] = {}
    for pattern in expand_braces(options.path):
        if _WILDCARD.search(pattern):
            root, rest = split_root(pattern)
            found |= {storage.join(root, name): n for name, n in _matching(root, rest, options)}
        else:
            found[pattern] = None
    if not found:
        raise ConfigError("dataset.path", options.path, "no file has such a name")
    return found


def expand_braces(pattern: str) -> list[str]:
    """Every name that the braces of `pattern` stand for.

    Raises:
        ConfigError: They are more than a million.
    """
    waiting, names = [pattern], []
    while waiting:
        text = waiting.pop()
        match = _BRACES.search(text)
        if match is None:
            names.append(text)
            continue
        first, last, choice = match.groups()
        if choice is None:
            width = len(first) if len(first) == len(last) or first.startswith("0") else 0
            numbers = range(int(first), int(last) + 1)[: _MOST_NAMES + 1]
            parts = [f"{n:0{width}d}" for n in numbers]
        else:
            parts = choice.split(",")
        if len(parts) + len(waiting) + len(names) > _MOST_NAMES:
            raise ConfigError("dataset.path", pattern, f"stands for more than {_MOST_NAMES} names")
        waiting += [text[: match.start()] + part + text[match.end() :] for part in reversed(parts)]
    return names


def short_names(urls: Sequence[str]) -> list[str]:
    """The names of files without the folder that all of them have in common."""
    folders = [url.split("/")[:-1] for url in urls]
    common = 0
    while all(len(f) > common and f[common] == folders[0][common] for f in folders):
        common += 1
    return ["/".join(url.split("/")[common:]) for url in urls]


def split_root(pattern: str) -> tuple[str, str]:
    """The folder before the first wildcard, and the pattern of paths below it."""
    folder = pattern[: _WILDCARD.search(pattern).start()].rpartition("/")[0]  # type: ignore[union-attr]
    return folder, pattern[len(folder) + 1 :]


def _matching(root: str, pattern: str, options: DatasetOptions) -> list[tuple[str, int]]:
    regular = re.compile(_regular(pattern))

    def used(name: str) -> bool:
        hidden = any(part.startswith(".") for part in name.split("/"))
        return not hidden and regular.fullmatch(name) is not None

    found = find(options, root, used)
    return sorted((name, size) for name, size in found.items() if used(name))


def _regular(pattern: str) -> str:
    """The regular expression of a pattern with ``**``, ``*``, ``?`` and ``[...]``."""
    text, at = "", 0
    for match in re.finditer(r"\*\*/|\*\*|\*|\?|\[!?[^\]]+\]", pattern):
        text += re.escape(pattern[at : match.start()])
        sign = match[0]
        inside = sign[1:-1].replace("\\", r"\\").replace("!", "^", 1)
        text += _REGULAR.get(sign) or f"[{inside}]"
        at = match.end()
    return text + re.escape(pattern[at:])
