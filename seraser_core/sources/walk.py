"""Walking a folder on a local disk, with links that stay below it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from seraser_core.errors import ConfigError
from seraser_core.sources.shown import is_hidden, is_text
from seraser_core.storage import FileInfo

LINK_TO_NOTHING = "where nothing is"


@dataclass
class Walked:
    """Content of a folder.

    Attributes:
        files: Path relative to the folder -> what the disk tells.
        unnamed: Paths of files that would be used, or folders, whose names are no text.
        special: Paths that would be used and are sockets, pipes or devices.
        closed: Folders that may not be listed, and that need not be.
    """

    files: dict[str, FileInfo] = field(default_factory=dict)
    unnamed: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)


def walk(
    root: Path,
    used: Callable[[str], bool],
    allow_outside: bool,
    deepest: int | None = None,
    needed: Callable[[str], bool] = lambda folder: True,
) -> Walked:
    """Walk all files below `root` that are neither hidden nor made by systems.

    Their versions are not told: copies of a data set on several machines have other times.

    Links to folders are followed, except those that lead back to a folder on the way to them.

    Args:
        root: The folder.
        used: Whether a file of that relative path would be used: what others are does not matter.
        allow_outside: Follow links that lead out of `root`, too.
        deepest: Pass over folders that are this many levels below `root`; 0 is right below it.
        needed: Whether a folder of that relative path may hold files that would be used.

    Raises:
        ConfigError: A link leads out of `root`.
        OSError: A folder that is needed cannot be listed.
    """
    top = _real(root)
    walked = Walked()
    waiting = [(root, "", frozenset({top}))]
    while waiting:
        folder, prefix, way = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except PermissionError:
            if not prefix or needed(prefix.rstrip("/")):
                raise
            walked.closed.append(prefix.rstrip("/"))
            continue
        for entry in entries:
            name = prefix + entry.name
            is_folder = _is_folder(entry)
            if is_hidden(entry.name) or (is_folder and name.count("/") == deepest):
                continue
            if not is_text(entry.name):
                if is_folder or used(name):
                    walked.unnamed.append(name)
                continue
            if (
                entry.is_symlink()
                and (is_folder or used(name))
                and not (allow_outside or _real(entry).is_relative_to(top))
            ):
                dead = not Path(entry).exists()
                raise ConfigError(
                    "dataset.path",
                    repr(entry.path),
                    f"is a link to {os.path.realpath(entry)!r}, outside of the folder"
                    f"{f', {LINK_TO_NOTHING}; remove or correct it, or ' if dead else '; '}"
                    "set dataset.allow_outside to true when that is meant",
                )
            if not is_folder:
                if _is_special(entry):
                    if used(name):
                        walked.special.append(name)
                else:
                    walked.files[name] = FileInfo(_size(entry))
            elif (real := _real(entry)) not in way:
                waiting.append((Path(entry), f"{name}/", way | {real}))
    return walked


def _real(path: Path | os.DirEntry[str]) -> Path:
    return Path(os.path.realpath(path))  # unlike Path.resolve, no error for links in a circle


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Return whether a path exists and is no regular file; a dead link becomes an error row."""
    try:
        return not entry.is_file() and Path(entry).exists()
    except OSError:
        return False


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:  # a link to nothing
        return 0
