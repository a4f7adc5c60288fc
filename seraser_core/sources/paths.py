"""Paths in tables and lists, adapted to this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl

from seraser_core import storage
from seraser_core.errors import ConfigError, SeraserError
from seraser_core.sources.decode import IMAGE_ENDINGS
from seraser_core.sources.shown import all_composed

_WINDOWS = r"^(/?[A-Za-z]:[\\/]|\\\\)"
_FILE = r"^(?i)(file|local)://(localhost)?/"
_SCHEME = r"^[A-Za-z][A-Za-z0-9+.-]*:(:|//)"
_BARE_NUMBER = r"(^|/)([0-9]+|[0-9]+([.,][0-9]+)?[eE]\+?[0-9]+)$"


def clean_paths(
    paths: pl.Series, base: str, setting: str, options: Mapping[str, Any], said: list[str]
) -> pl.Series:
    """Return the paths with slashes between their parts, and without empty parts.

    Signs that could be part of a name, ``\\`` and ``%20``, are taken to be so where the first
    such file is there.

    Args:
        paths: Paths relative to `base`, or absolute ones, or URLs.
        base: Folder or URL.
        setting: The setting that names the paths, for errors.
        options: fsspec options.
        said: Gets a line for what was changed in meaning.

    Raises:
        ConfigError: A path is of a Windows machine, or files are seen to have another ending or to
            be in another folder.
    """
    paths = _changed(paths, _FILE, _without_scheme)
    windows = paths.filter(paths.str.contains(_WINDOWS).fill_null(False))
    if len(windows):
        raise ConfigError(
            f"dataset.{setting}",
            f"{windows[0]!r} ({len(windows)} rows)",
            "is a path on Windows, which this machine does not have; write the paths relative to "
            f"the table's folder {base}",
        )
    folder = storage.local_path(base)
    if folder is not None:
        paths = _changed(paths, "^~/", lambda path: Path(path).expanduser().as_posix())
    plain = ~paths.str.contains(_SCHEME).fill_null(True)

    def is_there(path: str) -> bool:
        try:
            return storage.exists(_joined(base, path), options)
        except (OSError, ValueError, ImportError, SeraserError):
            return False

    slashed = paths.filter(plain & paths.str.contains("\\", literal=True).fill_null(False))
    if len(slashed) and not is_there(slashed[0]):
        paths = _where(paths, plain, paths.str.replace_all("\\", "/", literal=True))
        said.append(f"{len(slashed)} paths in {setting!r} have \\ between folders, read as /")
    paths = _where(paths, plain, paths.str.replace_all(r"(^|/)(\./+)+", "$1"))
    if folder is not None:  # the key of an object may hold //
        paths = _where(paths, plain, paths.str.replace_all("//+", "/"))
    coded = paths.filter(plain & paths.str.contains("%[0-9A-Fa-f]{2}").fill_null(False))
    if len(coded) and not is_there(coded[0]) and is_there(unquote(coded[0])):
        paths = _where(paths, plain, _changed(paths, "%[0-9A-Fa-f]{2}", unquote))
        said.append(f"{len(coded)} paths in {setting!r} are percent-encoded, e.g. {coded[0]!r}")
    if folder is not None:
        _check_places(paths.filter(plain), folder.absolute(), setting)
    numbers = paths.filter(paths.str.contains(_BARE_NUMBER).fill_null(False))
    if len(numbers):
        said.append(
            f"{len(numbers)} paths in {setting!r} are numbers without an ending, e.g. "
            f"{numbers[0]!r}; spreadsheets cut zeros before numbers and write 1E+05 for 100000"
        )
    return paths


def same_files(paths: pl.Series, base: str) -> pl.Series:
    """Return one text per file, however its path is spelt."""
    inside = base.rstrip("/") + "/"
    if paths.str.starts_with(inside).any():
        paths = paths.str.strip_prefix(inside)
    return all_composed(paths)


def _check_places(paths: pl.Series, folder: Path, setting: str) -> None:
    """Refuse paths if a sample of them misses its files and the right paths are known.

    Raises:
        ConfigError: Names the file that is there.
    """
    given = paths.drop_nulls()
    sample = [given[i] for i in sorted({0, len(given) // 2, len(given) - 1})] if len(given) else []
    if not sample or any(_exists(folder / path) for path in sample):
        return
    first = sample[0]

    def refuse(fact: str, remedy: str) -> ConfigError:
        return ConfigError(
            f"dataset.{setting}", repr(first), f"there is no such file, but {fact}; {remedy}"
        )

    ending = next(
        (
            ending
            for kind in IMAGE_ENDINGS
            for ending in (kind, kind.upper())
            if _exists(folder / (first + ending))
        ),
        None,
    )
    if ending is not None:
        raise refuse(repr(first + ending), "write names with their endings")
    if all(_exists(folder / path.lstrip("/")) for path in sample):
        raise refuse(
            str(folder / first.lstrip("/")),
            "paths are relative to the table's folder, so leave out the / before them",
        )
    for other in (*folder.parents, Path.cwd()):
        if all(_exists(other / path) for path in sample):
            raise refuse(
                f"one in {other}",
                f"paths are relative to the table's folder {folder}, so move the table there, or "
                "write them so",
            )


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a zero
        return False


def _joined(base: str, path: str) -> str:
    return path if path.startswith("/") or "://" in path else storage.join(base, path)


def _without_scheme(url: str) -> str:
    return "/" + unquote(url.partition("://")[2].partition("/")[2])


def _changed(paths: pl.Series, pattern: str, change: Any) -> pl.Series:
    """Apply a function to the paths that match a pattern."""
    if not paths.str.contains(pattern).any():
        return paths
    matches = paths.str.contains(pattern).fill_null(False)
    changed = [change(path) if match else path for path, match in zip(paths, matches, strict=True)]
    return pl.Series(paths.name, changed, dtype=pl.String)


def _where(paths: pl.Series, chosen: pl.Series, then: pl.Series) -> pl.Series:
    return then.zip_with(chosen, paths)
