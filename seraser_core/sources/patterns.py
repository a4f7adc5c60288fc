"""Names of many files at once: ``x-{000000..000009}.tar``, ``s3://bucket/prefix/**.jpg``."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from seraser_core import storage
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError
from seraser_core.sources.decode import IMAGE_ENDINGS
from seraser_core.sources.folder import find
from seraser_core.sources.shown import composed, ending_of, is_shown, left_out
from seraser_core.storage import FileInfo

_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
_WILDCARD = re.compile(r"[*?\[]")
_MOST_NAMES = 1_000_000
_MOST_DIGITS = 100
_MOST_SHOWN = 200
_SIGNS = re.compile(r"(?s)(?:(?<=/)|^)\*\*/|\*\*+|\*|\?|\[!?+.[^\]]*\]")
_PARTS = re.compile(r"(?s)(?:\[!?+.[^\]]*\]|[^/])+")
"""Parts of a pattern between slashes; brackets may hold a slash."""
_RANGES = re.compile(r"(?s)(.)-(.)|(.)")


def expand(
    options: DatasetOptions, endings: Collection[str], said: list[str]
) -> dict[str, FileInfo | None]:
    """Return the files that ``dataset.path`` names, with their facts if they were listed.

    ``{000..009}`` and ``{a,b}`` stand for all of their names, which need not exist. ``*`` and ``?``
    stand for anything but ``/``, ``**`` for anything, ``**/`` for any folders or none, ``[a-c]``
    for one of these characters and ``[!a-c]`` for another one. A sign that stands for itself is
    written in brackets: ``[[]``, ``[*]``, ``[?]``. Hidden files and folders are passed over. Where
    a pattern leaves the ending open, files of `endings` are used when there are any, and no others.

    Args:
        options: The data set.
        endings: Endings of the wanted files.
        said: Gets a line for files that are passed over.

    Returns:
        URL -> what was listed or None; in the order of the names, or sorted where there was a
        listing.

    Raises:
        ConfigError: Nothing is found, a range in brackets is empty, or the folder cannot be listed.
    """
    files: dict[str, FileInfo | None] = {}
    for pattern in expand_braces(options.path):
        if _WILDCARD.search(pattern):
            root, rest = split_root(pattern)
            matching = _of_endings(_matching(root, rest, options, said), rest, endings, said)
            files |= {storage.join(root, name): file for name, file in matching.items()}
        else:
            files[pattern] = None
    if not files:
        hint = "; where a [ in it stands for itself, write [[]" if "[" in options.path else ""
        raise ConfigError("dataset.path", options.path, f"no file has such a name{hint}")
    return files


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
        parts = _numbers(first, last, pattern) if choice is None else choice.split(",")
        if len(parts) + len(waiting) + len(names) > _MOST_NAMES:
            raise _too_many(pattern)
        waiting += [text[: match.start()] + part + text[match.end() :] for part in reversed(parts)]
    return names


def _numbers(first: str, last: str, pattern: str) -> list[str]:
    if max(len(first), len(last)) > _MOST_DIGITS or int(last) - int(first) >= _MOST_NAMES:
        raise _too_many(pattern)
    width = len(first) if len(first) == len(last) or first.startswith("0") else 0
    return [f"{n:0{width}d}" for n in range(int(first), int(last) + 1)]


def _too_many(pattern: str) -> ConfigError:
    shown = pattern if len(pattern) < _MOST_SHOWN else f"{pattern[:_MOST_SHOWN]}..."
    return ConfigError(
        "dataset.path",
        shown,
        f"stands for more than {_MOST_NAMES} names, or numbers of more than {_MOST_DIGITS} digits",
    )


def short_names(urls: Sequence[str], path: str) -> list[str]:
    """Return the names of files without the folder that all names of a pattern begin with.

    That depends on the pattern alone, so a file has the same name whatever other files are there.

    Args:
        urls: Files that `expand` found.
        path: The pattern.
    """
    patterns = expand_braces(path)
    roots = [split_root(p)[0] if _WILDCARD.search(p) else storage.parent(p) for p in patterns]
    folders = [root.rstrip("/").split("/") for root in roots]
    common = 0
    while all(len(f) > common and f[common] == folders[0][common] for f in folders):
        common += 1
    return ["/".join(url.split("/")[common:]) for url in urls]


def split_root(pattern: str) -> tuple[str, str]:
    """The folder before the first wildcard, and the pattern of paths below it."""
    before, slash, _ = pattern[: _WILDCARD.search(pattern).start()].rpartition("/")  # type: ignore[union-attr]
    return before or slash, pattern[len(before) + len(slash) :]


def _matching(
    root: str, pattern: str, options: DatasetOptions, said: list[str]
) -> dict[str, FileInfo]:
    regular = regular_expression(composed(pattern))

    def used(name: str) -> bool:
        return is_shown(name) and regular.fullmatch(composed(name)) is not None

    def needed(folder: str) -> bool:
        parts = _PARTS.findall(pattern)[: folder.count("/") + 1]
        above = regular_expression(composed("/".join(parts)))
        return "**" in "".join(parts) or above.fullmatch(composed(folder)) is not None

    deepest = None if "**" in pattern else pattern.count("/")
    files = find(options, root, used, said, deepest, needed)
    return {name: files[name] for name in sorted(files) if used(name)}


def _of_endings(
    files: dict[str, FileInfo], pattern: str, endings: Collection[str], said: list[str]
) -> dict[str, FileInfo]:
    """Return the files with these endings, or all if none has one or the pattern has an ending."""
    if "." in _WILDCARD.split(pattern.rpartition("/")[2])[-1]:
        return files
    wanted = {name: file for name, file in files.items() if ending_of(name) in endings}
    if not wanted:
        return files
    others = [name for name in files if name not in wanted]
    images = endings is IMAGE_ENDINGS
    said += (
        left_out(others) if images else left_out(others, f"do not end in {' or '.join(endings)}")
    )
    return wanted


def regular_expression(pattern: str) -> re.Pattern[str]:
    """The regular expression of whole names for a pattern with ``**``, ``*``, ``?`` and ``[...]``.

    A search that has found what stands behind a wildcard never looks for a later place of it, but
    for what stands behind the last ``**``, so time grows with the square of the name's length at
    most. Nothing is missed: what follows a ``**`` may begin anywhere, so its earliest end leaves
    most to the rest, and of what follows a ``*`` the earliest place does so, too, since no other
    sign stands for a ``/``.

    Raises:
        ConfigError: A range in brackets is empty.
    """
    # Between the `**`, from the start on: a list of the parts between the `*`.
    pieces, opened = [[""]], [""]
    at = 0
    for match in _SIGNS.finditer(pattern):
        pieces[-1][-1] += re.escape(pattern[at : match.start()])
        at = match.end()
        sign = match[0]
        if sign.startswith("**"):
            pieces.append([""])
            opened.append(r".*?(?<![^/])" if sign.endswith("/") else ".*?")
        elif sign == "*":
            pieces[-1].append("")
        else:
            pieces[-1][-1] += "[^/]" if sign == "?" else _one_of(sign)
    pieces[-1][-1] += re.escape(pattern[at:])
    *before, (*parts, end) = pieces
    gaps = zip(opened[:-1], before, strict=True)
    text = "".join(f"(?>{gap}{_in_order(piece)})" for gap, piece in gaps)
    last = f"{_in_order(parts)}[^/]*" if parts else ""
    return re.compile(f"(?s){text}{opened[-1]}{last}{end}")


def _in_order(parts: Sequence[str]) -> str:
    """Return what matches `parts` in order, each at the earliest place after the one before."""
    return parts[0] + "".join(f"(?>[^/]*?{part})" for part in parts[1:])


def _one_of(brackets: str) -> str:
    """The regular expression of ``[...]`` or ``[!...]``, which never stand for a ``/``."""
    other = brackets.startswith("[!")
    text = ""
    for first, last, single in _RANGES.findall(brackets[1 + other : -1]):
        if first > last:
            raise ConfigError(
                "dataset.path",
                brackets,
                f"the range {first}-{last} is empty; write {last}-{first}, or [[] where the [ "
                "stands for itself",
            )
        text += re.escape(single) or f"{re.escape(first)}-{re.escape(last)}"
    return f"(?!/)[{'^' if other else ''}{text}]"
