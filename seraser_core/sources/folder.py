"""Data sets with one folder of images per class."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import PurePosixPath

import polars as pl

from seraser_core import storage
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError, TransientError
from seraser_core.sources.base import Listing, Source, listed
from seraser_core.sources.decode import IMAGE_ENDINGS
from seraser_core.sources.names import class_names
from seraser_core.sources.walk import walk
from seraser_core.storage import Found

_SHOWN = 5


class FolderSource(Source):
    """Images in ``<path>/<class>/...``; the id of an image is its path below the root.

    Hidden files and folders (a leading dot) are passed over. On a local disk links are followed
    as `walk` does.

    Classes are the sorted folder names, or the configured names, each of which must be a folder.
    A folder that has files but no image is refused where empty classes are.
    """

    def listing(self) -> Listing:
        """See `Source.listing`."""
        options = self.options
        found = find(options, options.path, _is_image_of_class)
        rows = {name: file for name, file in found.items() if _is_image_of_class(name)}
        if not rows:
            raise ConfigError(
                "dataset.path",
                options.path,
                f"no image was found in folders below it ({len(found)} files there); expected "
                f"<path>/<class>/*{IMAGE_ENDINGS[0]}",
            )
        folders = sorted({name.split("/", 1)[0] for name in rows})
        others = [
            name for name in found if "/" in name and is_shown(name) and not is_shown_image(name)
        ]
        classes = class_names(options) or self._with_empty(folders, others)
        position = _positions(folders, classes)
        strange = [folder for folder in folders if folder not in position]
        if strange:
            near = difflib.get_close_matches(strange[0], classes, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(
                "dataset.classes",
                f"folder {strange[0]!r} is not among them",
                f"{hint}name every folder, or leave classes out to take the folder names",
            )
        labels = [position[name.split("/", 1)[0]] for name in rows]
        items = listed(
            pl.Series(list(rows), dtype=pl.String),
            pl.Series([storage.join(options.path, name) for name in rows], dtype=pl.String),
            rows.values(),
        ).with_columns(label=pl.Series(labels, dtype=pl.Int32))
        warnings = left_out(others)
        loose = [name for name in found if "/" not in name and is_shown_image(name)]
        if loose:
            warnings.append(
                f"{len(loose)} images are in no folder of a class and are left out, e.g. {loose[0]}"
            )
        facts = {"files": len(found), "images": len(rows)}
        return Listing(items, classes, [], facts, warnings=warnings)

    def _with_empty(self, folders: list[str], others: list[str]) -> list[str]:
        """The sorted names of all folders, also of those that have files but no image.

        Raises:
            ConfigError: There are such, and classes may not be empty.
        """
        found = sorted({*folders, *(name.split("/", 1)[0] for name in others)})
        empty = [folder for folder in found if folder not in folders]
        if empty and not self.options.allow_empty_classes:
            (said,) = left_out([name for name in others if name.startswith(f"{empty[0]}/")])
            raise ConfigError(
                "dataset.path",
                storage.join(self.options.path, empty[0]),
                f"has no image ({said}); convert them, name the folders that are classes in "
                "dataset.classes, or set dataset.allow_empty_classes to true where this is one",
            )
        return found


def _positions(folders: Collection[str], classes: Sequence[str]) -> dict[str, int]:
    """Indices of folders: those of the classes of their names, or the numbers that they are."""
    position = {name: index for index, name in enumerate(classes)}
    if all(re.fullmatch("[0-9]{1,9}", folder) for folder in folders) and not (
        position.keys() & set(folders)
    ):
        position = {folder: int(folder) for folder in folders if int(folder) < len(classes)}
    return position


def find(
    options: DatasetOptions, path: str, used: Callable[[str], bool], deepest: int | None = None
) -> dict[str, Found]:
    """Paths of all files below the folder `path`, relative to it.

    Args:
        options: The data set, for how its folders are read.
        path: The folder, locally or in object storage.
        used: Whether a file of that relative path would be used: links to others do not matter.
        deepest: See `walk`; storage that is no disk lists all.

    Raises:
        ConfigError: The folder cannot be listed, is not there, or is empty.
    """
    try:
        if storage.is_local(path):
            found = walk(storage.local_path(path), used, options.allow_outside, deepest)
        else:
            found = storage.find_files(path, options.storage_options)
    except PermissionError as error:
        raise ConfigError(
            "dataset.path", path, f"may not be listed ({error}); check the credentials"
        ) from None
    except (FileNotFoundError, NotADirectoryError):
        found = {}
    except (OSError, TransientError, ValueError, ImportError) as error:
        raise ConfigError("dataset.path", path, f"cannot be listed: {error}") from None
    if not found:
        raise ConfigError("dataset.path", path, "there is no such folder, or it is empty")
    for name in found:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ConfigError(
                "dataset.path", ascii(name), "the name is no valid UTF-8; rename the file"
            ) from None
    return found


def is_shown(name: str) -> bool:
    """Whether neither a file nor a folder of it is hidden."""
    return not any(part.startswith(".") for part in name.split("/"))


def is_shown_image(name: str) -> bool:
    """Whether a file is an image by its name, and neither it nor a folder of it is hidden."""
    return is_shown(name) and _ending(name) in IMAGE_ENDINGS


def left_out(names: Collection[str]) -> list[str]:
    """The warning of files that are left out for their endings; none where there are none."""
    if not names:
        return []
    times = Counter(_ending(name) or "none" for name in names).most_common()
    seen = ", ".join(f"{ending} {count}" for ending, count in times[:_SHOWN])
    more = ", ..." if times[_SHOWN:] else ""
    return [f"{len(names)} files are no images by their endings and are left out: {seen}{more}"]


def _ending(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _is_image_of_class(name: str) -> bool:
    return "/" in name and is_shown_image(name)
