"""What files there are."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from seraser_core.faults import sorted_faults
from seraser_core.storage.places import Options, filesystem, is_local, is_s3, local_path

_UNFINISHED_S = 3600


class Found(NamedTuple):
    """What a listing tells of a file: its bytes, and its version where a reader can ask for it."""

    size: int
    version: str | None = None


def list_files(folder: str, options: Options | None = None) -> list[str]:
    """Names of the files directly in `folder`, sorted; empty when it does not exist.

    What a killed `write_bytes` left behind is not listed.
    """
    with sorted_faults("list", folder):
        fs, path = filesystem(folder, options)
        try:
            found = fs.ls(path, detail=True)
        except FileNotFoundError:
            return []
    itself = path.rstrip("/")  # as some stores keep a folder whose files are gone
    files = (f["name"] for f in found if f["type"] == "file" and f["name"].rstrip("/") != itself)
    names = (PurePosixPath(name).name for name in files)
    return sorted(name for name in names if not _is_unfinished(name))


def list_folders(folder: str, options: Options | None = None) -> list[str]:
    """Names of the folders directly in `folder`, sorted; empty when it does not exist."""
    with sorted_faults("list", folder):
        fs, path = filesystem(folder, options)
        try:
            found = fs.ls(path, detail=True)
        except FileNotFoundError:
            return []
    return sorted(PurePosixPath(f["name"]).name for f in found if f["type"] == "directory")


def find_files(folder: str, options: Options | None = None) -> dict[str, Found]:
    """Paths of all files below `folder`, relative to it; sorted.

    What a killed `write_bytes` left behind is not among them.

    Raises:
        As `read_bytes`; of a folder that does not exist, nothing is found.
    """
    with sorted_faults("list", folder):
        fs, root = filesystem(folder, options)
        found = fs.find(root, detail=True)
    prefix = root.rstrip("/") + "/"
    return {
        name.removeprefix(prefix): _found(info, folder)
        for name, info in found.items()
        if name.startswith(prefix) and not _is_unfinished(PurePosixPath(name).name)
    }


def find(url: str, options: Options | None = None) -> Found | None:
    """What a listing would tell of the file at `url`; None when there is none.

    Raises:
        As `read_bytes`.
    """
    with sorted_faults("look at", url):
        fs, path = filesystem(url, options)
        try:
            return _found(fs.info(path), url)
        except FileNotFoundError:
            return None


def _found(info: dict[str, Any], url: str) -> Found:
    # Only there a tag can be a condition of reading.
    tag = strong_tag(info.get("ETag")) if is_s3(url) else None
    return Found(int(info.get("size") or 0), tag)


def strong_tag(tag: str | None) -> str | None:
    """A tag with which objects can be asked for: weak ones, ``W/"..."``, never match."""
    return tag if tag and not tag.startswith("W/") else None


def remove_unfinished(folder: str) -> int:
    """Remove what killed `write_bytes` left directly in a local folder over an hour ago.

    What is younger may be written right now.

    Returns:
        The number of files.
    """
    if not is_local(folder):  # a put that is not finished leaves nothing
        return 0
    count, now = 0, None
    for path in local_path(folder).glob(".*.tmp"):
        with suppress(OSError):  # whoever wrote it is done, or it is not ours to remove
            now = now or _clock(path.parent)
            if path.stat().st_mtime < now - _UNFINISHED_S:
                path.unlink()
                count += 1
    return count


def _clock(folder: Path) -> float:
    """The time of the file system, which may be far away and have a clock of its own."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=".tmp") as file:
        return os.fstat(file.fileno()).st_mtime


def _is_unfinished(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")
