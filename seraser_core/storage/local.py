"""Files on this machine's disk."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Literal

from seraser_core.errors import ConfigError
from seraser_core.faults import sorted_faults
from seraser_core.steps import reached
from seraser_core.storage.place import FileInfo, Place

_NO_LINKS = (
    errno.EPERM,  # also of a file of another user, where the system protects those
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.EXDEV,
    errno.EMLINK,
)
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_NO_SUCH_RENAME = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_AT_FDCWD, _RENAME_NOREPLACE = -100, 1


class LocalPlace(Place):
    """A file or a folder on this machine's disk.

    Args:
        url: As it was given.
        path: Its path.
    """

    def __init__(self, url: str, path: Path) -> None:
        super().__init__(url)
        self.path = path

    def prepare(self) -> None:
        """Do nothing: a disk has no client."""

    def local_size(self) -> int:
        """Bytes of the file; a pipe or device is none."""
        with sorted_faults("look at", self.url):
            return self._size()

    def remove_unfinished(self, age_s: float = 3600) -> int:
        """See `Place.remove_unfinished`."""
        count, now = 0, None
        for path in self.path.glob(".*.tmp"):
            with suppress(OSError):  # whoever wrote it is done, or it is not ours to remove
                now = now or _clock(self.path)
                # The content of a file that is being published may be old, its new name is not.
                if path.stat().st_ctime < now - age_s:
                    path.unlink()
                    count += 1
        return count

    def _read(self, most: int | None, version: str | None) -> bytes:
        size = self._size()
        with self.path.open("rb") as file:
            # Python sets aside as many bytes as it is asked for, even where the file is small.
            return file.read() if most is None else file.read(min(most, size + 1))

    def _read_range(self, start: int, length: int, version: str | None) -> bytes:
        with self._open(version) as file:
            file.seek(start)
            return file.read(length)

    @contextmanager
    def _open(self, version: str | None) -> Iterator[IO[bytes]]:
        self._size()
        with self.path.open("rb") as file:
            self._check_version(_version(os.fstat(file.fileno())), version)
            yield file

    def _size(self) -> int:
        status = self.path.stat()
        if not stat.S_ISREG(status.st_mode):  # it might never end
            raise FileNotFoundError(f"{self.path} is not a file")
        return status.st_size

    def _version(self) -> str:
        return _version(self.path.stat())

    def _names(self, kind: Literal["file", "directory"]) -> list[str]:
        is_wanted = os.DirEntry.is_dir if kind == "directory" else os.DirEntry.is_file
        try:
            with os.scandir(self.path) as entries:
                return [entry.name for entry in entries if is_wanted(entry, follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _find_files(self, prefix: str) -> dict[str, FileInfo]:
        files = {}
        for folder, _, names in os.walk(self.path, onerror=_raise_unless_missing):
            inside = Path(folder).relative_to(self.path).as_posix()
            begins = "" if inside == "." else f"{inside}/"
            for name in names:  # of thousands, of which few may have the prefix
                path = begins + name
                if path.startswith(prefix) and (info := _info(Path(folder, name))) is not None:
                    files[path] = info
        return files

    def _find(self) -> FileInfo | None:
        return _info(self.path)

    def _exists(self) -> bool:
        with suppress(OSError, ValueError):
            self.path.stat()
            return True
        return False

    def _fetch(self, path: Path) -> None:
        shutil.copyfile(self.path, path)

    def _write(self, data: bytes) -> None:
        with self._whole(data) as temporary:
            self._rename(temporary)

    def _create(self, data: bytes) -> bool:
        with self._whole(data) as temporary:
            reached("unrenamed", self.url)
            created = _link_if_free(temporary, self.path)
            reached("named", self.url)
            return created

    def _publish(self, source: Place) -> None:
        if not isinstance(source, LocalPlace):
            super()._publish(source)
            return
        try:
            with self._temporary() as temporary:
                temporary.hardlink_to(source.path)
                self._rename(temporary)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            super()._publish(source)

    def _delete(self) -> None:
        self.path.unlink()

    @contextmanager
    def _whole(self, data: bytes) -> Iterator[Path]:
        """Yield a temporary file with `data`, which is on the disk, see `_temporary`."""
        with self._temporary() as temporary:
            with temporary.open("xb") as file:
                reached("opened", self.url)
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            yield temporary

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        """Yield a free name beside this file; afterwards it is gone, and the folder on the disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.tmp")
        try:
            yield temporary
        finally:
            # Also after a rename, which leaves two names of one file as they are.
            temporary.unlink(missing_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _rename(self, temporary: Path) -> None:
        reached("unrenamed", self.url)
        temporary.replace(self.path)


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _info(path: Path) -> FileInfo | None:
    """A file; None if it is missing, as the target of a link may be."""
    try:
        status = path.stat()
    except OSError as error:
        if error.errno not in _MISSING:
            raise
        return None
    return FileInfo(status.st_size, mark=f"{status.st_dev} {status.st_ino}")


def _version(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns}"


def _clock(folder: Path) -> float:
    """Time of the file system, which may be far away and have a clock of its own."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=".tmp") as file:
        return os.fstat(file.fileno()).st_ctime


def _link_if_free(temporary: Path, path: Path) -> bool:
    """Give a temporary file the name `path` too, if nothing has it; returns whether it has it."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        # A network disk may repeat a request whose answer was lost, and refuse it then.
        return temporary.stat().st_nlink > 1
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _rename_if_free(temporary, path)
    return True


def _rename_if_free(temporary: Path, path: Path) -> bool:
    """Rename a file to `path` if nothing has that name; returns whether it was renamed.

    Raises:
        ConfigError: Neither the disk nor the system can do so.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    code = errno.ENOSYS
    if rename is not None:
        names = os.fsencode(temporary), os.fsencode(path)
        if not rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], ctypes.c_uint(_RENAME_NOREPLACE)):
            return True
        code = ctypes.get_errno()
    if code == errno.EEXIST:
        return False
    if code in _NO_SUCH_RENAME:
        raise ConfigError(
            "output",
            path.parent,
            "this disk has no hard links and no rename that replaces nothing, so two workers could "
            "overwrite each other's results; write them to another disk or to object storage",
        )
    raise OSError(code, os.strerror(code), str(path))
