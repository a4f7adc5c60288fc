"""A small disk of its own that can become full or read-only, also without being root."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_HOLD = """
mount -t tmpfs -o size=8m none "$1" && echo ready
while read options; do mount -o "remount,$options" "$1" && echo ready; done
"""


class Disk:
    """A tmpfs in the namespaces of a process that does nothing else.

    Attributes:
        path: Where every process of this user finds it.
    """

    def __init__(self, holder: subprocess.Popen[str], folder: Path) -> None:
        self._holder = holder
        self.path = Path(f"/proc/{holder.pid}/root{folder}")

    def become(self, options: str) -> None:
        """Mount it anew, e.g. ``ro``, ``rw``, ``size=16m``."""
        assert self._holder.stdin
        self._holder.stdin.write(f"{options}\n")
        self._holder.stdin.flush()
        self.wait()

    def wait(self) -> None:
        """Wait until it is mounted."""
        assert self._holder.stdout
        if self._holder.stdout.readline() != "ready\n":
            pytest.skip("no disk can be mounted here: user namespaces are not permitted")

    def fill(self) -> None:
        """Leave no room, not even for a small file."""
        with pytest.raises(OSError, match="No space left"), (self.path / "ballast").open("ab") as f:
            while True:
                f.write(b"\0" * 2**16)

    def clear(self) -> None:
        """Take back what `fill` did."""
        (self.path / "ballast").unlink()


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """A disk on `folder`, which goes with the process that holds it."""
    if shutil.which("unshare") is None:
        pytest.skip("no disk can be mounted here: there is no `unshare`")
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _HOLD, "-", folder]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        disk = Disk(holder, folder)
        try:
            disk.wait()
            yield disk
        finally:
            holder.kill()
