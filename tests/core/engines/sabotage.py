"""Work and progress that kill their process, and those that note what happens."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from uuid import uuid4

import psutil


class Counter:
    """Progress that counts images."""

    def __init__(self):
        self.images = 0

    def advance(self, images):
        self.images += images


class Deadly:
    """Progress that ends its process at the first image, once."""

    def __init__(self, progress, marker):
        self.progress, self.marker = progress, marker

    def advance(self, images):
        if not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        self.progress.advance(images)


class Kill:
    """Work that kills its worker in the middle of a shard: once, or always."""

    def __init__(self, shard_id, marker=None):
        self.shard_id, self.marker = shard_id, marker

    def __call__(self, run_url, shard_id, progress, attempt):
        from seraser_core.runner.shard import run_shard

        if shard_id == self.shard_id:
            if self.marker is None:
                os.kill(os.getpid(), signal.SIGKILL)
            progress = Deadly(progress, self.marker)
        return run_shard(run_url, shard_id, progress, attempt)


class Noted:
    """Work that notes in a folder which process begins which shard.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def __call__(self, run_url, shard_id, progress, attempt):
        from seraser_core.runner.shard import run_shard

        (self.folder / f"{shard_id}-{os.getpid()}-{uuid4().hex}").touch()
        return run_shard(run_url, shard_id, progress, attempt)

    def begun(self) -> list[str]:
        """Return the shards that were begun, each as often as it was."""
        return sorted(path.name.partition("-")[0] for path in self.folder.iterdir())

    def workers(self) -> list[psutil.Process]:
        """Return the processes that began shards and are alive."""
        pids = {int(path.name.split("-")[1]) for path in self.folder.iterdir()}
        return [one for one in psutil.process_iter(["status"]) if one.pid in pids and _lives(one)]


def _lives(process: psutil.Process) -> bool:
    return process.info["status"] not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def files(url: str) -> dict[str, bytes]:
    """Return the rows of a run."""
    return {path.name: path.read_bytes() for path in Path(url, "predictions").iterdir()}
