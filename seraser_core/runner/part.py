"""One part of a run, computed by one of many processes that know nothing of each other."""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Self

from seraser_core.engines.base import Engine, Progress
from seraser_core.errors import ConfigError
from seraser_core.results.records import Timings
from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import Done, State
from seraser_core.results.summary import aggregate, is_finished, unfinished
from seraser_core.runner.missing_shards import run_local
from seraser_core.sources.items import ShardRange

logger = logging.getLogger(__name__)
_ALIVE_S = 600.0
"""Seconds for which a shard that was begun belongs to whoever has begun it."""
_SLURM = "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT"


@dataclass(frozen=True)
class Part:
    """A part of a run.

    Attributes:
        number: From 0.
        parts: Number of parts; shards ``number``, ``number + parts``, ... belong to it.
    """

    number: int = 0
    parts: int = 1

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str], parts: int | None = None) -> Self:
        """Read ``I/N``, or for ``auto`` what Slurm or an Indexed Job of Kubernetes says.

        Args:
            text: ``I/N`` with I from 0, or ``auto``.
            environment: The environment of the process.
            parts: Number of parts where the environment tells none, as in Kubernetes.

        Raises:
            ConfigError: It is neither, or the environment does not tell.
        """
        if text == "auto":
            return cls._of_environment(environment, parts)
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
        if match is None or int(match[1]) >= int(match[2]):
            raise ConfigError("--part", text, "write I/N with I from 0 to N - 1, or auto")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def _of_environment(cls, environment: Mapping[str, str], parts: int | None) -> Self:
        numbers = {name: int(value) for name, value in environment.items() if value.isdecimal()}
        if all(name in numbers for name in _SLURM):
            number, first, count = (numbers[name] for name in _SLURM)
            step = numbers.get("SLURM_ARRAY_TASK_STEP") or 1
            # Of --array=3,7,9 the place is not told: two may have one part, and help with the rest.
            return cls((number - first) // step % count, count)
        if "SLURM_PROCID" in numbers and numbers.get("SLURM_NTASKS"):
            return cls(numbers["SLURM_PROCID"], numbers["SLURM_NTASKS"])
        if "JOB_COMPLETION_INDEX" in numbers and parts is not None:
            return cls(numbers["JOB_COMPLETION_INDEX"] % parts, parts)
        raise ConfigError(
            "--part",
            "auto",
            "neither Slurm (SLURM_ARRAY_TASK_ID and _COUNT, or SLURM_PROCID and SLURM_NTASKS) nor "
            "an Indexed Job (JOB_COMPLETION_INDEX, with --parts) tells which part; write I/N",
        )

    def __str__(self) -> str:
        return f"{self.number}/{self.parts}"


def work(
    run_url: str,
    part: Part,
    engine: Engine,
    progress: Progress | None = None,
    committed: Callable[[Timings], None] | None = None,
    begun: Callable[[list[ShardRange]], None] | None = None,
) -> bool:
    """Compute a part of a run, then what is left of the others, and as the last one the report.

    Shards that somebody has begun within ten minutes are left to them.

    Args:
        run_url: The run directory.
        part: The part.
        engine: Where shards are computed.
        progress: As of `run_local`.
        committed: As of `run_local`.
        begun: Told of all missing shards, also of other parts, before any is computed.

    Returns:
        Whether the run is finished.

    Raises:
        SeraserError, KeyboardInterrupt: As of `run_local`.
    """
    directory = RunDirectory(run_url)
    mine = {shard.id for shard in directory.shards()[part.number :: part.parts]}
    missing = directory.missing()
    if begun:
        begun(missing)
    compute = partial(run_local, run_url, progress, committed=committed, engine=engine)
    compute(shards=[shard for shard in missing if shard.id in mine])
    slots = engine.slots(directory.run.config.runtime.parallel_shards)
    while others := _left(states := directory.states()):
        chosen = random.sample(others, min(slots, len(others)))  # other parts choose as well
        logger.info("helping with shards %s", ", ".join(chosen))
        compute(shards=[directory.shard(name) for name in chosen])
    if unfinished(states):
        return False
    if not is_finished(run_url):
        aggregate(run_url)
    return True


def _left(states: Mapping[str, State]) -> list[str]:
    """Return the ids of shards that are not done and that nobody has begun lately."""
    now = datetime.now(UTC)

    def is_left(state: State) -> bool:
        if isinstance(state, Done):
            return False
        latest = state.latest
        return latest is None or (now - latest.moment).total_seconds() > _ALIVE_S

    return [name for name, state in states.items() if is_left(state)]
