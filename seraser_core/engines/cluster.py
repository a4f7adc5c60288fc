"""Workers of a Dask cluster that is there already, or that a class of another package starts."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from distributed import Client

from seraser_core.config.execution import ExecutionOptions
from seraser_core.engines.dask import DaskEngine
from seraser_core.errors import ConfigError

_MOST_SHARDS = 256
"""Shards that are handed over at once; those that no worker has yet wait at the scheduler."""


class ClusterEngine(DaskEngine):
    """Hands shards to the workers of ``execution.address`` or ``execution.cluster``."""

    def __init__(self, options: ExecutionOptions) -> None:
        super().__init__(options)
        self._cluster: Any = None

    def slots(self, parallel_shards: int) -> int:
        """See `Engine.slots`."""
        return _MOST_SHARDS

    def _connect(self) -> Client:
        options = self._options
        if options.cluster is not None:
            self._cluster = self._start(options.cluster)
            if options.workers != "auto":
                self._cluster.scale(options.workers)
            return Client(self._cluster, set_as_default=False)
        address = options.address or ""
        where = {"address": address} if "://" in address else {"scheduler_file": address}
        if "scheduler_file" in where and not Path(address).exists():
            raise ConfigError("execution.address", address, "there is no such scheduler file")
        try:
            return Client(**where, timeout=options.start_timeout, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigError(
                "execution.address", address, f"no Dask scheduler answers there ({error})"
            ) from error

    def _start(self, name: str) -> Any:
        try:
            kind = resolve_name(name)
        except (ImportError, AttributeError) as error:
            package = name.partition(".")[0].replace("_", "-")
            raise ConfigError(
                "execution.cluster", name, f"cannot be imported ({error}); install {package}"
            ) from error
        try:
            return kind(**self._options.cluster_options)
        except (TypeError, ValueError, RuntimeError, OSError) as error:
            raise ConfigError(
                "execution.cluster_options",
                self._options.cluster_options,
                f"{name} cannot be started with them ({error})",
            ) from error

    def close(self) -> None:
        """See `Engine.close`."""
        super().close()
        if self._cluster is not None:
            self._cluster.close()
