"""Processes on this machine, each with a device of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence

import dask
import numpy as np
from distributed import Client, Nanny, Scheduler, SpecCluster

from seraser_core.config.execution import ExecutionOptions
from seraser_core.cores import usable_cores
from seraser_core.engines import worker
from seraser_core.engines.dask import DaskEngine

_HERE = "127.0.0.1"
_KEEP = {"distributed.deploy.lost-worker-timeout": "1000 days"}
"""Else a process that dies is given up unless its successor comes within 15 s, which takes longer
where many start at once, or from a slow disk."""


class MachineEngine(DaskEngine):
    """Starts one process per device, and another one where one dies.

    Args:
        devices: What each process may see of CUDA_VISIBLE_DEVICES; None to leave it as it is.
        parallel_shards: Shards that a process computes at once; it makes ready one more.
        options: What may happen to them.
    """

    def __init__(
        self, devices: Sequence[str | None], parallel_shards: int, options: ExecutionOptions
    ) -> None:
        super().__init__(options)
        self._devices, self._threads = devices, parallel_shards + 1
        self._cluster: SpecCluster | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def slots(self, parallel_shards: int) -> int:
        """See `Engine.slots`."""
        return len(self._devices) * self._threads

    def _connect(self) -> Client:
        dask.config.set(_KEEP)
        scratch = self._scratch = tempfile.TemporaryDirectory(prefix="seraser-")
        workers = {}
        parts = np.array_split(usable_cores(), len(self._devices))
        for number, (device, cores) in enumerate(zip(self._devices, parts, strict=True)):
            env = {worker.CORES: ",".join(map(str, cores))} if len(cores) else {}
            if device is not None:
                env["CUDA_VISIBLE_DEVICES"] = device
            options = {
                "host": _HERE,
                "nthreads": self._threads,
                "memory_limit": 0,  # or a worker would be killed at 95 % of its share
                "dashboard": False,
                "local_directory": scratch.name,
                "preload": [worker.__name__],
                "env": env,
            }
            workers[number] = {"cls": Nanny, "options": options}
        scheduler = {"host": _HERE, "dashboard": False, "dashboard_address": f"{_HERE}:0"}
        self._cluster = SpecCluster(
            workers=workers,
            scheduler={"cls": Scheduler, "options": scheduler},
            silence_logs=50,
        )
        return Client(self._cluster, set_as_default=False)

    def close(self) -> None:
        """See `Engine.close`."""
        super().close()
        if self._cluster is not None:
            self._cluster.close()
        if self._scratch is not None:
            self._scratch.cleanup()
