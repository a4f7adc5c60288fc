"""Telling the files that a person put into a folder or archive from those of systems."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection
from pathlib import PurePosixPath

import polars as pl

from seraser_core.sources.decode import IMAGE_ENDINGS

_SHOWN = 5
_SYSTEM = frozenset(
    {
        "__macosx",  # of archives made on a Mac
        "@eadir",  # thumbnails of a Synology
        "@recycle",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "__pycache__",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
    }
)
"""Files and folders that systems make, in lower case."""


def is_shown(name: str) -> bool:
    """Return whether no part of a path is hidden (a leading dot) or made by a system."""
    return not any(is_hidden(part) for part in name.split("/"))


def is_hidden(part: str) -> bool:
    """Return whether a file or folder of this name is hidden, or made by a system."""
    return part.startswith(".") or part.lower() in _SYSTEM


def is_shown_image(name: str) -> bool:
    """Return whether a path ends as an image does and no part of it is hidden."""
    return ending_of(name) in IMAGE_ENDINGS and is_shown(name)


def ending_of(name: str) -> str:
    """The ending of a file's name, in lower case."""
    return PurePosixPath(name).suffix.lower()


def is_text(name: str) -> bool:
    """Return whether a name is valid Unicode; names in other encodings are not."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def composed(name: str) -> str:
    """Return the name with é as one character (Unicode NFC), however the disk has it."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def all_composed(names: pl.Series) -> pl.Series:
    """Return the names `composed`; they are not copied if all are ASCII."""
    is_ascii = names.str.len_bytes().sum() == names.str.len_chars().sum()
    return names if is_ascii else names.str.normalize("NFC")


def left_out(names: Collection[str], why: str = "are no images by their endings") -> list[str]:
    """Return the warning about files that are left out for their endings, if any."""
    if not names:
        return []
    times = Counter(ending_of(name) or "none" for name in names).most_common()
    seen = ", ".join(f"{ending} {count}" for ending, count in times[:_SHOWN])
    more = ", ..." if times[_SHOWN:] else ""
    return [f"{len(names)} files {why} and are left out: {seen}{more}"]
