"""The interface to where shards are computed, and the choice of an engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from seraser_core.config.execution import ExecutionOptions
from seraser_core.errors import ConfigError

if TYPE_CHECKING:
    from seraser_core.config import RunConfig
    from seraser_core.results.records import Commit

A = TypeVar("A")
T = TypeVar("T")
Say = Callable[[str], None]


class Progress(Protocol):
    """Told about progress from the thread that hands over the shard, or computes it."""

    def advance(self, images: int) -> None:
        """`images` more images are done; negative where a shard began again elsewhere."""


Compute = Callable[[str, str, Progress | None, int], "Commit"]
"""Given run, shard, progress and number of the attempt; `run_shard` is one."""


class Engine(ABC):
    """Computes shards, in this process or in others, which it starts when first asked."""

    @abstractmethod
    def slots(self, parallel_shards: int) -> int:
        """Return how many shards to hand over at once.

        Args:
            parallel_shards: As ``runtime.parallel_shards`` of the run.
        """

    def start(self) -> None:  # noqa: B027 (threads need none)
        """Start or find what computes; asked for shards, an engine that has not does so.

        Raises:
            SeraserError: There is none, or none that can be used: told once, not for every shard.
        """

    @abstractmethod
    def compute(
        self,
        run_url: str,
        shard_id: str,
        progress: Progress,
        attempt: int,
        work: Compute | None = None,
    ) -> Commit:
        """Compute one shard.

        Args:
            run_url: The run directory.
            shard_id: The shard.
            progress: Told of its images.
            attempt: Number of the attempt, from 1.
            work: Does the work; `run_shard` when None.

        Raises:
            SeraserError: As `work`, or its workers died over it.
            KeyboardInterrupt: Of `progress`; nothing more of the shard is computed.
        """

    @abstractmethod
    def call(self, function: Callable[[A, Say], T], argument: A, say: Say) -> T:
        """Return ``function(argument, say)``, called where shards are computed.

        Args:
            function: A function of a module, which takes what it may tell lines of text.
            argument: Its first argument.
            say: Told these lines, at the latest when it returns.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 (most have nothing to end)
        """End what the engine has started."""


def open_engine(config: RunConfig) -> Engine:
    """Return the engine of a run's ``execution`` options; nothing is started yet.

    Raises:
        ConfigError: There are fewer devices than workers are wanted, or the engine needs a flow.
    """
    options = config.execution
    match options.engine:
        case "deployments":
            raise ConfigError(
                "execution.engine",
                options.engine,
                "only a flow can start flow runs: `prefect deployment run seraser/batch-eval` with "
                "this configuration does, and other engines need none",
            )
        case "dask":
            from seraser_core.engines.cluster import ClusterEngine

            return ClusterEngine(options)
        case "processes":
            return _processes(options, config, _devices(config))
        case "auto" if len(devices := _devices(config)) > 1 or options.workers not in ("auto", 1):
            return _processes(options, config, devices)
    from seraser_core.engines.threads import ThreadEngine

    return ThreadEngine()


def _devices(config: RunConfig) -> list[str]:
    from seraser_core.engines.devices import visible_devices

    return visible_devices() if config.model.device in ("auto", "cuda") else []


def _processes(options: ExecutionOptions, config: RunConfig, devices: list[str]) -> Engine:
    from seraser_core.engines.machine import MachineEngine

    wanted = max(1, len(devices)) if options.workers == "auto" else options.workers
    if devices and wanted > len(devices):
        raise ConfigError(
            "execution.workers",
            wanted,
            f"there are {len(devices)} CUDA devices here ({', '.join(devices)}); ask for no more, "
            "and for more shards of one device set runtime.parallel_shards",
        )
    pins: list[str | None] = [*devices[:wanted]] or [None] * wanted
    return MachineEngine(pins, config.runtime.parallel_shards, options)
