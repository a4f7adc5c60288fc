"""Data sets with one folder of images per class."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Sequence

import polars as pl

from seraser_core import storage
from seraser_core.config.classes import are_labels
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError, TransientError
from seraser_core.sources.decode import IMAGE_ENDINGS
from seraser_core.sources.names import class_names, some
from seraser_core.sources.shown import composed, ending_of, is_shown, is_shown_image, left_out
from seraser_core.sources.source import Listing, Source, listed
from seraser_core.sources.walk import Walked, walk
from seraser_core.storage import FileInfo

_SHOWN = 5
_SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval")
_NOTES = frozenset(
    {
        *(".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".html", ".htm"),
        *(".yaml", ".yml", ".log", ".py", ".ipynb", ".sh", ".md5", ".sha1", ".sha256", ".pdf"),
        *(".parquet", ".xlsx", ".zip", ".gz", ".tar", ".tgz", ".cache", ".ini", ".db", ".mat"),
    }
)
"""Endings of files that often lie beside images."""


class FolderSource(Source):
    """Images in ``<path>/<class>/...``; the id of an image is its path below the root.

    Hidden files and folders (a leading dot), and those that systems make, are passed over. On a
    local disk links are followed as `walk` does.

    Classes are the sorted folder names, or the configured names, each of which must be a folder.
    A folder that has files but no image is refused where empty classes are.
    """

    def listing(self) -> Listing:
        """See `Source.listing`."""
        options = self.options
        warnings: list[str] = []
        named = {composed(name) for name in class_names(options) or ()}
        files = find(
            options,
            options.path,
            _is_image_of_class,
            warnings,
            needed=lambda folder: not named or composed(folder.partition("/")[0]) in named,
        )
        rows = {name: file for name, file in files.items() if _is_image_of_class(name)}
        if not rows:
            raise ConfigError(
                "dataset.path",
                options.path,
                f"no image was found in folders below it ({len(files)} files there); expected "
                f"<path>/<class>/*{IMAGE_ENDINGS[0]}",
            )
        folders = sorted({_class_of(name) for name in rows})
        others = [name for name in files if _class_of(name) and not is_shown_image(name)]
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
        labels = [position[_class_of(name)] for name in rows]
        items = listed(
            pl.Series(list(rows), dtype=pl.String),
            pl.Series([storage.join(options.path, name) for name in rows], dtype=pl.String),
            rows.values(),
        ).with_columns(label=pl.Series(labels, dtype=pl.Int32))
        warnings += left_out(others)
        warnings += self._other_roots(folders, rows)
        loose = [name for name in files if not _class_of(name) and is_shown_image(name)]
        if loose:
            warnings.append(
                f"{len(loose)} images are in no folder of a class and are left out, e.g. {loose[0]}"
            )
        facts = {"files": len(files), "images": len(rows)}
        return Listing(items, classes, [], facts, warnings=warnings)

    def _with_empty(self, folders: list[str], others: list[str]) -> list[str]:
        """Return the sorted names of all folders, including those without images.

        Raises:
            ConfigError: There are such, and classes may not be empty.
        """
        # A folder of notes is no class, but one of pictures in another format may be.
        pictures = [name for name in others if ending_of(name) not in _NOTES]
        names = sorted({*folders, *map(_class_of, pictures)})
        empty = [folder for folder in names if folder not in folders]
        if empty and not self.options.allow_empty_classes:
            (said,) = left_out([name for name in others if _class_of(name) == empty[0]])
            raise ConfigError(
                "dataset.path",
                storage.join(self.options.path, empty[0]),
                f"has no image ({said}); convert them, name the folders that are classes in "
                "dataset.classes, or set dataset.allow_empty_classes to true where this is one",
            )
        return names

    def _other_roots(self, folders: Sequence[str], rows: Collection[str]) -> list[str]:
        """Return a warning if the folders look like splits.

        Raises:
            ConfigError: There is only one, which looks like the root, and classes are not named.
        """
        path = self.options.path.rstrip("/")
        deeper = [name.split("/") for name in rows if name.count("/") > 1]
        meant = f"did you mean path: {path}/{deeper[0][0]}?" if deeper else ""
        if len(folders) == 1 and self.options.classes is None:
            inner = sorted({parts[1] for parts in deeper})
            raise ConfigError(
                "dataset.path",
                f"{path}: there is only the folder {folders[0]!r}",
                f"{meant} It has {some(inner)}" if inner else "there must be a folder per class",
            )
        splits = [folder for folder in folders if folder.lower() in _SPLITS]
        if len(splits) < 2:
            return []
        said = f"the folders {', '.join(splits)} are named as splits, not as classes; {meant}"
        return [said.removesuffix("; ")]


def _positions(folders: Collection[str], classes: Sequence[str]) -> dict[str, int]:
    """Return the indices of folders: by class name, or by number if the folders are numbers."""
    position = {composed(name): index for index, name in enumerate(classes)}
    if all(re.fullmatch("[0-9]{1,9}", folder) for folder in folders) and not (
        position.keys() & set(folders)
    ):
        if are_labels(classes):  # 001 is the folder of 1
            place_of = {int(name): index for index, name in enumerate(classes)}
            return {folder: place_of[int(folder)] for folder in folders if int(folder) in place_of}
        position = {folder: int(folder) for folder in folders if int(folder) < len(classes)}
    return position


def find(
    options: DatasetOptions,
    path: str,
    used: Callable[[str], bool],
    said: list[str],
    deepest: int | None = None,
    needed: Callable[[str], bool] = lambda folder: True,
) -> dict[str, FileInfo]:
    """Return the paths of all files below the folder `path` that are not hidden, relative to it.

    Args:
        options: The data set, for how its folders are read.
        path: The folder, locally or in object storage.
        used: Whether a file of that relative path would be used: what others are does not matter.
        said: Gets a line for every kind of files that are passed over and would be used.
        deepest: See `walk`; storage that is no disk lists all.
        needed: See `walk`.

    Raises:
        ConfigError: The folder cannot be listed, is not there, or is empty.
    """
    try:
        here = storage.local_path(path)
        if here is not None:
            walked = walk(here, used, options.allow_outside, deepest, needed)
        else:
            every = storage.find_files(path, options.storage_options)
            walked = Walked({name: file for name, file in every.items() if is_shown(name)})
    except PermissionError as error:
        raise ConfigError(
            "dataset.path",
            error.filename or path,
            "may not be listed; check the credentials or allow it, or take it elsewhere",
        ) from None
    except (FileNotFoundError, NotADirectoryError):
        walked = Walked()
    except (OSError, TransientError, ValueError, ImportError) as error:
        raise ConfigError("dataset.path", path, f"cannot be listed: {error}") from None
    for names, what in (
        (walked.unnamed, "have names that are no UTF-8; rename them, e.g. with convmv"),
        (walked.special, "are sockets, pipes or devices"),
        (walked.closed, "are folders that may not be listed"),
    ):
        if names:
            said.append(f"{len(names)} entries {what}; they are left out, e.g. {names[0]!a}")
    if not walked.files:
        left = f" ({said[-1]})" if walked.unnamed or walked.special or walked.closed else ""
        raise ConfigError("dataset.path", path, f"there is no such folder, or it is empty{left}")
    return walked.files


def _class_of(name: str) -> str:
    """Return the class folder of a file; "" if it is in none."""
    return composed(name.partition("/")[0]) if "/" in name else ""


def _is_image_of_class(name: str) -> bool:
    return bool(_class_of(name)) and is_shown_image(name)
