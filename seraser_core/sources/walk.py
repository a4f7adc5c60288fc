"""Walking a folder on a local disk, with links that stay below it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from seraser_core.errors import ConfigError
from seraser_core.storage import Found


def walk(
    root: Path, used: Callable[[str], bool], allow_outside: bool, deepest: int | None = None
) -> dict[str, Found]:
    """Paths of all files below `root`, relative to it.

    Their versions are not told: copies of a data set on several machines have other times.

    Links to folders are followed, except hidden ones (a leading dot) and those that lead back to
    a folder on the way to them.

    Args:
        root: The folder.
        used: Whether a file of that relative path would be used: links to others do not matter.
        allow_outside: Follow links that lead out of `root`, too.
        deepest: Pass over folders that are this many levels below `root`; 0 is right below it.

    Raises:
        ConfigError: A link leads out of `root`.
        OSError: A folder cannot be listed.
    """
    top = _real(root)
    found: dict[str, Found] = {}
    waiting = [(root, "", frozenset({top}))]
    while waiting:
        folder, prefix, way = waiting.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = prefix + entry.name
                is_folder = _is_folder(entry)
                if is_folder and name.count("/") == deepest:
                    continue
                if is_folder and entry.is_symlink() and entry.name.startswith("."):
                    continue
                if (
                    entry.is_symlink()
                    and (is_folder or used(name))
                    and not (allow_outside or _real(entry).is_relative_to(top))
                ):
                    raise ConfigError(
                        "dataset.path",
                        repr(entry.path),
                        f"is a link to {os.path.realpath(entry)!r}, outside of the folder; "
                        "set dataset.allow_outside to true when that is meant",
                    )
                if not is_folder:
                    found[name] = Found(_size(entry))
                elif (real := _real(entry)) not in way:
                    waiting.append((Path(entry), f"{name}/", way | {real}))
    return found


def _real(path: Path | os.DirEntry[str]) -> Path:
    return Path(os.path.realpath(path))  # unlike Path.resolve, no error for links in a circle


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:  # a link to nothing, which becomes an error row
        return 0
