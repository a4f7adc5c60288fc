"""URLs of files and folders: told apart, joined and taken apart as text."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_LOCAL = ("file://", "local://")


def scheme(url: str) -> str:
    """Scheme of `url`, e.g. ``s3``; empty for a plain path and for a chain of file systems."""
    match = _SCHEME.match(url)
    return match[1] if match else ""


def local_path(url: str) -> Path | None:
    """Path of `url` on this machine's disk; None when it is somewhere else."""
    for prefix in _LOCAL:
        if url.startswith(prefix):
            return Path(url.removeprefix(prefix))
    return Path(url) if url.startswith("/") or "://" not in url else None


def absolute(url: str, base: str | Path) -> str:
    """`url` itself when it is absolute, else joined to the folder `base` (a path or a URL).

    Raises:
        ValueError: It begins with the home of a user that this machine does not know.
    """
    if "://" in url:
        here = local_path(url)
        return url if here is None else here.as_posix()
    try:
        path = Path(url).expanduser()
    except RuntimeError:
        raise ValueError(
            f"no home folder is known for {Path(url).parts[0]}; write the whole path"
        ) from None
    if path.is_absolute():
        return path.as_posix()
    folder = local_path(str(base))
    if folder is None:
        return join(str(base), url)
    return Path(os.path.normpath(folder.absolute() / path)).as_posix()


def join(base: str, *parts: str) -> str:
    """`base` and `parts` joined with single slashes."""
    return "/".join([base.rstrip("/"), *(part.strip("/") for part in parts)])


def parent(url: str) -> str:
    """The folder that holds `url`."""
    if "://" not in url:
        return Path(url).parent.as_posix()
    prefix, rest = url.split("://", 1)
    return f"{prefix}://{PurePosixPath(rest).parent.as_posix()}"
