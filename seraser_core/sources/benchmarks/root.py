"""The folder that a benchmark data set was unpacked into."""

from __future__ import annotations

import contextlib

from seraser_core import storage
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError, TransientError
from seraser_core.sources.folder import find
from seraser_core.sources.shown import is_shown, is_shown_image
from seraser_core.sources.texts import read_text
from seraser_core.storage import FileInfo

_LEVELS_UP = 2


class NoSplitError(ConfigError):
    """A root has no image of a split."""


class Root:
    """Files below the root of a data set, on a local disk or in object storage.

    Args:
        options: The data set.
        layout: Its content, for errors.
        table: Name of the table that stands for ``{table}``.

    Attributes:
        warnings: Warnings for people, added by readers.
    """

    def __init__(self, options: DatasetOptions, layout: str, table: str = "") -> None:
        self.options, self.layout, self.table = options, layout, table
        self.url = options.path
        self.warnings: list[str] = []
        self._images: dict[str, dict[str, FileInfo]] = {}
        self._others: dict[str, list[str]] = {}

    def wrong(
        self, fault: str, remedy: str = "", kind: type[ConfigError] = ConfigError
    ) -> ConfigError:
        """Build the error for a wrong root, with the layout of a right one."""
        remedy = f"{remedy}; " if remedy else ""
        return kind(
            "dataset.path", f"{self.url}: {fault}", f"{remedy}expected there: {self.layout}"
        )

    def named(self, name: str, split: str) -> str:
        """The name of a file or folder, with what ``{split}`` and ``{table}`` stand for."""
        return name.replace("{split}", split).replace("{table}", self.table)

    def images(self, folder: str = "") -> dict[str, FileInfo]:
        """Image files below `folder`, relative to the root.

        Raises:
            ConfigError: The folder cannot be listed, is not there, or is empty.
        """
        if folder not in self._images:
            url = storage.join(self.url, folder) if folder else self.url
            files = find(self.options, url, is_shown_image, self.warnings)
            prefix = f"{folder}/" if folder else ""
            images = {name: file for name, file in files.items() if is_shown_image(name)}
            self._images[folder] = {prefix + name: file for name, file in images.items()}
            self._others[folder] = [
                prefix + name for name in files if name not in images and is_shown(name)
            ]
        return self._images[folder]

    def others(self, folder: str = "") -> list[str]:
        """Files below `folder`, relative to the root, that are neither images nor hidden.

        Raises:
            As `images`.
        """
        self.images(folder)
        return self._others[folder]

    def read(self, name: str) -> bytes:
        """The file `name`.

        Raises:
            ConfigError: It cannot be read.
        """
        try:
            return storage.read_bytes(storage.join(self.url, name), self.options.storage_options)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise self.wrong(f"there is no file {name!r}") from None
        except (OSError, TransientError, ValueError, ImportError) as error:
            raise self.wrong(f"{name!r} cannot be read: {error}") from None

    def text(self, name: str) -> str:
        """The text file `name`.

        Raises:
            ConfigError: It cannot be read, or is no text.
        """
        said: list[str] = []
        try:
            text = read_text(self.read(name), said)
        except ValueError as error:
            raise self.wrong(f"{name!r} cannot be read: {error}") from None
        self.warnings += [f"{name}: {line}" for line in said]
        return text

    def lacks(self, name: str) -> bool:
        """Return whether the root has neither a file nor a folder `name`.

        Raises:
            ConfigError: The storage does not answer.
        """
        return _lacks(self.url, name, self.options)

    def check(self, marks: list[str]) -> None:
        """Check that the root has all of `marks`.

        Raises:
            ConfigError: One is not; the message names a folder near by that has them all, if any.
        """
        missing = [name for name in marks if self.lacks(name)]
        if not missing:
            return
        if _lacks(self.url, "", self.options):
            raise self.wrong("there is no such folder, or it is empty", "check the path")
        right = next((url for url in self._near() if self._has_all(url, marks)), None)
        raise self.wrong(
            f"there is no {missing[0]!r}" + (f" ({len(missing)} missing)" if missing[1:] else ""),
            f"did you mean {right}?" if right else "",
        )

    def _near(self) -> list[str]:
        """Return folders that may be the root that was meant."""
        near = []
        with contextlib.suppress(OSError, TransientError, ValueError):
            folders = storage.list_folders(self.url, self.options.storage_options)
            near += [storage.join(self.url, name) for name in folders]
        url = self.url.rstrip("/")
        for _ in range(_LEVELS_UP):
            url = storage.parent(url)
            near.append(url)
        return near

    def _has_all(self, url: str, marks: list[str]) -> bool:
        try:
            return not any(_lacks(url, name, self.options) for name in marks)
        except ConfigError:
            return False


def _lacks(url: str, name: str, options: DatasetOptions) -> bool:
    try:
        return not storage.exists(storage.join(url, name), options.storage_options)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, TransientError, ValueError, ImportError) as error:
        raise ConfigError("dataset.path", url, f"cannot be read: {error}") from None
