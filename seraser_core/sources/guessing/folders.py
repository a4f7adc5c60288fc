"""Guesses from folders: one per class, or images without labels, or one with a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePosixPath

from seraser_core import storage
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError
from seraser_core.sources.folder import find
from seraser_core.sources.guessing.guess import Guess
from seraser_core.sources.shown import composed, ending_of, is_hidden, is_shown_image

_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_PICTURES = ("images", "image", "imgs", "img", "pictures", "photos", "jpegimages")
_MASKS = ("masks", "mask", "segmentations", "annotations", "labels")
_TESTS = ("test", "testing", "val", "valid", "validation", "dev", "eval")
_SPLITS = (*_TESTS, "train", "training")


def guess_folder(path: str) -> Guess:
    """Guess from a folder.

    Raises:
        ConfigError: It cannot be listed, or holds no image, tar or table.
    """
    from seraser_core.sources.guessing.archives import guess_parquet, guess_tars

    options = DatasetOptions(format="folder", path=path, allow_outside=True)
    files = find(options, path, lambda name: True, [])
    if table := _table(path, list(files)):
        return table
    images = [name for name in files if is_shown_image(name)]
    if not images:
        for ending, guessed in ((".tar", guess_tars), (".parquet", guess_parquet)):
            if any(ending_of(name) == ending for name in files):
                deep = "/**" if all("/" in name for name in files) else ""
                return guessed(f"{pattern_of(path)}{deep}/*{ending}")
        raise ConfigError(
            "DATA", path, f"no image, tar or table is in it ({len(files)} other files)"
        )
    folders = Counter(composed(name.partition("/")[0]) for name in images if "/" in name)
    loose = len(images) - folders.total()
    if inner := _inner(folders, loose):
        found = guess_folder(storage.join(path, inner))
        found.reasons.insert(0, f"path: the folder {inner!r} of {', '.join(sorted(folders))}")
        found.todo += _unused_masks(path, inner, images)
        return found
    if len(folders) > 1 and folders.total() > loose:
        found = Guess({"format": "folder", "path": path})
        found.with_classes(sorted(folders))
        found.todo += [*_without_images(path, folders), *_deeper_classes(path, images)]
        found.reasons.append(f"folder: its {len(folders)} folders are the classes")
        if any(folder.isdecimal() for folder in folders):
            found.todo.append(
                "dataset.classes: folders are numbers; write the names of the classes"
            )
        return found
    deep = "**" if folders else "*"
    found = Guess({"format": "files", "path": f"{pattern_of(path)}/{deep}"})
    found.reasons.append("files: images without folders of classes, so an audit without labels")
    found.without_classes()
    return found


def pattern_of(path: str) -> str:
    """Return a pattern of a path: its signs stand for themselves, and `?` for an opening brace."""
    signs = {"{": "?"} | {sign: f"[{sign}]" for sign in "*?["}
    return "".join(signs.get(sign, sign) for sign in path.rstrip("/"))


def _table(path: str, files: list[str]) -> Guess | None:
    """Guess from the table in a folder, if there is one of images that are there."""
    from seraser_core.sources.guessing.tables import guess_table

    for name in sorted(files):
        if "/" not in name and ending_of(name) in _TABLES:
            try:
                found = guess_table(storage.join(path, name))
            except ConfigError:
                continue
            if not any(line.startswith("dataset.path") for line in found.todo):
                found.reasons.insert(0, f"table: {name} in the folder names images that are there")
                return found
    return None


def _inner(folders: Counter[str], loose: int) -> str | None:
    """Return the folder to look into: the only one, that of the pictures, or the test split."""
    if loose:
        return None
    names = {folder.casefold(): folder for folder in folders}
    pictures = [names[name] for name in _PICTURES if name in names]
    if pictures and names.keys() <= {*_PICTURES, *_MASKS}:
        return pictures[0]
    if len(folders) == 1:
        return next(iter(folders))
    if names.keys() <= set(_SPLITS):
        return next((names[name] for name in _TESTS if name in names), None)
    return None


def _unused_masks(path: str, inner: str, images: Sequence[str]) -> Iterator[str]:
    """Yield how the masks in a folder beside that of the images become those of the images."""
    by_stem = {_stem(name): name for name in images if name.startswith(f"{inner}/")}
    for folder in sorted({name.partition("/")[0] for name in images} - {inner}):
        masks = [name for name in images if name.startswith(f"{folder}/")]
        named = [name for name in masks if folder.casefold() in _MASKS and _stem(name) in by_stem]
        if named:
            image = by_stem[_stem(named[0])].removeprefix(f"{inner}/")
            yield (
                f"dataset.masks: {storage.join(path, folder)} has masks of {len(named)} images, "
                f"which are not used; write a table in {path} with the columns id and mask, as "
                f"`{image},{named[0]}`, and name it in dataset.masks"
            )


def _stem(name: str) -> str:
    """The path of a file in the first folder, without its ending."""
    return PurePosixPath(name.partition("/")[2]).with_suffix("").as_posix()


def _without_images(path: str, folders: Collection[str]) -> Iterator[str]:
    """Yield which folders have no image and so are no classes."""
    there = [name for name in storage.list_folders(path) if not is_hidden(name)]
    empty = [name for name in there if composed(name) not in folders]
    if empty:
        yield (
            f"dataset.classes: no image is in {', '.join(map(repr, empty[:4]))}; where that is a "
            "class, name it here and set dataset.allow_empty_classes to true"
        )


def _deeper_classes(path: str, images: Sequence[str]) -> Iterator[str]:
    """Yield that the same folders are in all those that are taken for classes."""
    inner: dict[str, dict[str, str]] = {}
    for name in sorted(images):
        first, *between, _ = name.split("/") if name.count("/") else ("", "")
        if between:
            inner.setdefault(first, {})[between[-1]] = "/".join([first, *between[:-1]])
    shared = set.intersection(*map(set, inner.values())) if len(inner) > 1 else set()
    if len(shared) > 1:
        folder = inner[min(inner)][min(shared)]
        yield (
            f"dataset.path: the folders {', '.join(map(repr, sorted(shared)[:4]))} are in each of "
            f"{', '.join(map(repr, sorted(inner)[:4]))}; where they are the classes, take "
            f"{storage.join(path, folder)}"
        )
