"""The interface to files, whatever kind of storage has them."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple
from uuid import uuid4

from seraser_core.errors import ChangedError
from seraser_core.faults import sorted_faults
from seraser_core.steps import reached
from seraser_core.storage.locations import join, local_path, scheme

Options = Mapping[str, Any]


class FileInfo(NamedTuple):
    """A file as a listing tells of it.

    Attributes:
        size: Its bytes.
        version: Its version, where a reader can ask for it.
        mark: Text that two files of the place have in common if one was published from the other,
            where that can be told; of two that have not, nothing is known.
    """

    size: int
    version: str | None = None
    mark: str | None = None


class UnconditionalError(Exception):
    """The storage cannot create a file on the condition that there is none."""


class Place(ABC):
    """A file or a folder at one URL.

    A kind of storage implements the methods that begin with an underscore; the others sort its
    faults. All of them raise, beside what they name themselves:

        FileNotFoundError: There is no such file, or there can be none of that name.
        PermissionError: It may not be read or written.
        TransientError: A fault that may pass.
        ConfigError: The proxy that leads to the storage is not there, or cannot be used.
        ValueError: The scheme of the URL is not known.
        ImportError: The scheme needs a package that is not installed.

    Args:
        url: A local path or any fsspec URL.
        options: fsspec options.
    """

    def __init__(self, url: str, options: Options | None = None) -> None:
        self.url, self.options = url, dict(options or {})

    @abstractmethod
    def prepare(self) -> None:
        """Make the client, so that its configuration is checked before it is needed."""

    def read(self, most: int | None = None, version: str | None = None) -> bytes:
        """Read all bytes of the file, or its first `most` bytes.

        Args:
            most: Number of bytes; None for all.
            version: As `find_files` has it; None to take what is there.

        Raises:
            ChangedError: The file is not of that version.
        """
        with sorted_faults("read", self.url):
            return self._read(most, version)

    def read_range(self, start: int, length: int, version: str | None = None) -> bytes:
        """`length` bytes from `start` on, fewer where the file ends before.

        Args:
            start: First byte.
            length: Number of bytes.
            version: As `version` returned it; None to take what is there.

        Raises:
            ChangedError: The file is not of that version.
        """
        with sorted_faults("read", self.url):
            return self._read_range(start, length, version)

    @contextmanager
    def open(self, version: str | None = None) -> Iterator[IO[bytes]]:
        """Open the file to read parts of it; faults are sorted while it is open, too.

        Raises:
            ChangedError: The file is not of that version, see `read_range`.
        """
        with sorted_faults("read", self.url), self._open(version) as file:
            yield file

    def version(self) -> str:
        """Text that changes when the content does: a tag, or the size and time of change."""
        with sorted_faults("look at", self.url):
            return self._version()

    def local_size(self) -> int | None:
        """Bytes of a file on this machine's disk; None elsewhere."""
        return None

    def list_files(self) -> list[str]:
        """Names of the files directly in this folder, sorted; empty when it does not exist.

        What a killed write left behind is not listed.
        """
        with sorted_faults("list", self.url):
            return sorted(name for name in self._names("file") if not _is_unfinished(name))

    def list_folders(self) -> list[str]:
        """Names of the folders directly in this folder, sorted; empty when it does not exist."""
        with sorted_faults("list", self.url):
            return sorted(self._names("directory"))

    def find_files(self, prefix: str = "") -> dict[str, FileInfo]:
        """Paths of all files below this folder, relative to it and sorted.

        Empty when it does not exist. What a killed write left behind is not among them.

        Args:
            prefix: What all paths begin with.
        """
        with sorted_faults("list", self.url):
            files = self._find_files(prefix)
        return {
            path: files[path]
            for path in sorted(files)
            if path.startswith(prefix) and not _is_unfinished(path.rpartition("/")[2])
        }

    def find(self) -> FileInfo | None:
        """The file as a listing would tell of it; None when there is none."""
        with suppress(FileNotFoundError), sorted_faults("look at", self.url):
            return self._find()
        return None

    def exists(self) -> bool:
        """True if there is a file."""
        with sorted_faults("look for", self.url):
            return self._exists()

    def fetch(self, path: Path) -> None:
        """Copy the file to a path on this machine's disk, whole or not at all."""
        with sorted_faults("fetch", self.url):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=path.parent) as folder:
                part = Path(folder) / "part"
                self._fetch(part)
                part.replace(path)

    def write(self, data: bytes) -> None:
        """Write the file whole or not at all.

        Local: a temporary file in the same folder, fsync, rename, fsync of the folder. Object
        storage: one put of the finished bytes.
        """
        with self._writing():
            self._write(data)

    def create(self, data: bytes) -> bool:
        """Write the file whole if there is none.

        Of many that create one file, one does. A store that has no such condition is looked at
        right before, and one that ignores it replaces the file: see `honours_create`.

        Returns:
            True if this call created it, False if there was one before, with the same bytes or
            not. Of Google and Azure it may also be False where the answer that this call created
            it was lost, as their clients repeat a request and do not tell.

        Raises:
            ConfigError: The disk has neither hard links nor a rename that replaces nothing.
        """
        with self._writing():
            try:
                return self._create(data)
            except UnconditionalError:
                if self._exists():
                    return False
                self._write(data)
                return True

    def honours_create(self) -> bool:
        """True if `create` never replaces a file below this folder; creates one twice to see it.

        Raises:
            ConfigError: As `create`.
        """
        probe = at(join(self.url, f".create-{uuid4().hex[:8]}.tmp"), self.options)
        with sorted_faults("write", probe.url):
            try:
                return probe._create(b"first") and not probe._create(b"second")
            except UnconditionalError:
                return False
            finally:
                probe.delete()

    def publish(self, source: Place) -> None:
        """Put the content of `source` here, whole or not at all, over what is here.

        Local: a hard link, so that nothing is stored twice, and a copy where there are none. S3: a
        copy within the store.
        """
        with self._writing():
            self._publish(source)

    def delete(self) -> None:
        """Remove the file; nothing happens when it is not there."""
        with suppress(FileNotFoundError), sorted_faults("remove", self.url):
            self._delete()

    def remove_unfinished(self, age_s: float = 3600) -> int:
        """Remove what killed writes left directly in this folder; returns the number of files.

        Args:
            age_s: Seconds for which nothing happened to them; what is younger may be written now.
        """
        return 0

    def polars_options(self) -> dict[str, str] | None:
        """Options with which Polars reads this place as fsspec does, from the same environment."""
        return None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        reached("before", self.url)
        with sorted_faults("write", self.url):
            yield
        reached("after", self.url)

    @abstractmethod
    def _read(self, most: int | None, version: str | None) -> bytes: ...

    @abstractmethod
    def _read_range(self, start: int, length: int, version: str | None) -> bytes: ...

    @abstractmethod
    def _open(self, version: str | None) -> AbstractContextManager[IO[bytes]]: ...

    @abstractmethod
    def _version(self) -> str: ...

    @abstractmethod
    def _names(self, kind: Literal["file", "directory"]) -> list[str]:
        """Names of the files, or of the folders, directly in this folder; none if it is missing."""

    @abstractmethod
    def _find_files(self, prefix: str) -> dict[str, FileInfo]: ...

    @abstractmethod
    def _find(self) -> FileInfo | None: ...

    @abstractmethod
    def _exists(self) -> bool: ...

    @abstractmethod
    def _fetch(self, path: Path) -> None: ...

    @abstractmethod
    def _write(self, data: bytes) -> None: ...

    @abstractmethod
    def _create(self, data: bytes) -> bool:
        """As `create`; raises UnconditionalError where nothing but a look before can be done."""

    @abstractmethod
    def _delete(self) -> None: ...

    def _publish(self, source: Place) -> None:
        self._write(source.read())

    def _check_version(self, present: str, wanted: str | None) -> None:
        if wanted not in (None, present):
            raise self._changed()

    def _changed(self) -> ChangedError:
        return ChangedError(f"{self.url} is not the file that was planned with; plan the run anew")


def at(url: str, options: Options | None = None) -> Place:
    """The place at `url`: here alone it is asked what kind of storage it is."""
    path = local_path(url)
    if path is not None:
        from seraser_core.storage.local import LocalPlace

        return LocalPlace(url, path)
    match scheme(url):
        case "s3" | "s3a":
            from seraser_core.storage.s3 import S3Place

            return S3Place(url, options)
        case "http" | "https":
            from seraser_core.storage.web import WebPlace

            return WebPlace(url, options)
        case "gs" | "gcs":
            from seraser_core.storage.other import GooglePlace

            return GooglePlace(url, options)
        case "az" | "abfs" | "abfss":
            from seraser_core.storage.other import CloudPlace

            return CloudPlace(url, options)
    from seraser_core.storage.other import OtherPlace

    return OtherPlace(url, options)


def _is_unfinished(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")
