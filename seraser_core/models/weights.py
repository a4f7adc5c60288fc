"""Weights files: on this machine, or fetched to it once."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from platformdirs import user_cache_path

from seraser_core import storage

CACHE = "SERASER_CACHE"
"""Environment variable that names the folder for what is fetched; by default the user's cache."""


def local_weights(url: str) -> Path:
    """A weights file on this machine's disk.

    One that is elsewhere is fetched whole, once for every version of it, by one of all processes
    that ask for it.

    Args:
        url: A local path or any fsspec URL.

    Raises:
        As `storage.read_bytes`.
    """
    path = storage.local_path(url)
    if path is not None:
        return path
    mark = hashlib.sha256(f"{url}\n{storage.version(url)}".encode()).hexdigest()
    place = weights_cache() / f"{mark[:32]}{Path(url).suffix}"
    if not place.exists():
        with locked(place):
            if not place.exists():
                storage.fetch_file(url, place)
    return place


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Let one process of this machine at a time fetch a file.

    The system frees the lock of a process that dies. On a disk without locks, each fetches.

    Args:
        place: Path that the file is to have.
    """
    with ExitStack() as stack:
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(place.with_name(f"{place.name}.lock").open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def weights_cache() -> Path:
    """The folder of weights that were fetched."""
    return cache_folder() / "weights"


def cache_folder() -> Path:
    """Return the folder of files that this machine keeps for all runs."""
    root = os.environ.get(CACHE)
    return Path(root) if root else user_cache_path("seraser")
