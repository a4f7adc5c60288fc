"""Parts of a run as flow runs of their own, where the unit of a pool is a container."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import httpx
from prefect import flow, get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Cancelling

from flows.labels import label_planned
from flows.reasons import reasons
from seraser_core.config.execution import ExecutionOptions
from seraser_core.engines import open_engine
from seraser_core.engines.planned import config_here
from seraser_core.errors import ConfigError, SeraserError, TransientError
from seraser_core.results.records import Timings
from seraser_core.results.shards import RunDirectory
from seraser_core.runner.part import Part, work

_LOOK_EVERY_S = 5.0
_SILENT_S = 600.0
"""Seconds without anything begun or committed after which one more flow run helps."""
_MOST = 200
"""Flow runs that Prefect's server tells of at once."""


@flow(name="seraser-part", validate_parameters=True)
def seraser_part(run_url: str, part: int, parts: int) -> bool:
    """Compute a part of a planned run and help with the rest, as `seraser work` does.

    Args:
        run_url: The run directory.
        part: Number of the part, from 0.
        parts: Number of parts.

    Returns:
        Whether the run is finished.

    Raises:
        SeraserError: Shards failed for good; all others of the part are computed and kept.
    """
    logger = get_run_logger()

    def committed(timings: Timings) -> None:
        logger.info("%d images in %.1f s", timings.images, timings.wall_s)

    with reasons():
        mine = Part.parse(f"{part}/{parts}", {})
        label_planned(RunDirectory(run_url).run, str(mine))
        with open_engine(config_here(run_url)) as engine:
            return work(run_url, mine, engine, committed=committed)


def compute_in_parts(
    directory: RunDirectory, names: list[str], options: ExecutionOptions
) -> list[str]:
    """Have flow runs of a deployment compute what is missing, and wait for its commits.

    Only commits say what is done. The states of the flow runs say when nobody is left to wait for,
    and which were killed: these are started again, at most ``lost_workers`` times each. Where
    nothing happens for long, though Prefect calls a flow run *running*, one more helps.

    Args:
        directory: A planned run, in a place that the flow runs can reach.
        names: Ids of the missing shards.
        options: The deployment, and the number of parts.

    Returns:
        Ids of the shards that nobody has computed.

    Raises:
        ConfigError: There is no such deployment.
        SeraserError: No flow run was started in time.
    """
    parts = min(options.parts, len(names))
    with _started(directory, options, [Part(i, parts) for i in range(parts)]) as children:
        _wait_for_commits(directory, children)
    return [shard.id for shard in directory.missing()]


def _wait_for_commits(directory: RunDirectory, children: _Children) -> None:
    total, seen, since = len(directory.shards()), None, time.monotonic()
    while True:
        try:
            now = done, _ = directory.listed()
        except TransientError as error:  # the flow runs go on meanwhile
            get_run_logger().warning("%s; looking again", error)
        else:
            if len(done) == total:
                return
            if seen != now:
                seen, since = now, time.monotonic()
        if not children.look():
            return
        if time.monotonic() - since > _SILENT_S:
            children.replace(Part(), "nothing was begun or committed for long")
            since = time.monotonic()
        time.sleep(_LOOK_EVERY_S)


class _Children:
    """The flow runs that compute a run.

    Args:
        directory: The run.
        options: Of what deployment they are, and how many may be lost.
    """

    def __init__(self, directory: RunDirectory, options: ExecutionOptions) -> None:
        self._directory, self._options = directory, options
        self._parts: dict[UUID, Part] = {}
        self._lost: Counter[Part] = Counter()
        self._without_since = time.monotonic()

    def start(self, part: Part) -> None:
        """Start a part.

        Raises:
            ConfigError: There is no such deployment.
        """
        name = self._options.deployment or ""
        given = {"run_url": self._directory.url, "part": part.number, "parts": part.parts}
        try:
            child: Any = run_deployment(
                name,
                parameters=given,
                timeout=0,
                as_subflow=True,
                flow_run_name=f"{self._directory.run.name} part {part}",
            )
        except ObjectNotFound:
            raise ConfigError(
                "execution.deployment",
                name,
                "Prefect's server knows no such deployment; deploy it (deployments/prefect.yaml), "
                "`prefect deployment ls` lists what is there",
            ) from None
        self._parts[child.id] = part

    def replace(self, part: Part, why: str) -> None:
        """Start a part again, unless that was done too often."""
        again = self._lost[part] < self._options.lost_workers
        what = "starting it again" if again else "execution.lost_workers are reached"
        get_run_logger().warning("part %s: %s; %s", part, why, what)
        if again:
            self._lost[part] += 1
            self.start(part)

    def look(self) -> bool:
        """Start again those that were killed, and return whether there is anybody to wait for.

        Raises:
            SeraserError: None has started in time.
        """
        try:
            found = self._read()
        except httpx.HTTPError as error:  # they go on without Prefect's server
            get_run_logger().warning("%s; looking again", error)
            return True
        for child in found:
            state = child.state
            if state is None:
                continue
            if state.is_running() or state.is_final():
                self._without_since = time.monotonic()
            if state.is_final():
                part = self._parts.pop(child.id)
                if state.is_crashed():
                    self.replace(part, f"flow run {child.name} crashed")
        waited = time.monotonic() - self._without_since
        if self._parts and waited > self._options.start_timeout:
            raise SeraserError(
                f"no flow run of {self._options.deployment} has started within "
                f"execution.start_timeout = {self._options.start_timeout:g} s; see whether its "
                "pool has a worker, and room beside this flow run"
            )
        return bool(self._parts)

    def end(self, all_of_them: bool) -> None:
        """Cancel those that have not started, or all."""
        with suppress(httpx.HTTPError), _client() as client:
            for child in self._read():
                state = child.state
                if state is None or state.is_final():
                    continue
                if state.is_scheduled() or state.is_pending():
                    client.set_flow_run_state(child.id, Cancelled(message="nothing is left to do"))
                elif all_of_them:
                    client.set_flow_run_state(child.id, Cancelling(message="its parent has ended"))

    def _read(self) -> list[FlowRun]:
        with _client() as client:
            wanted = FlowRunFilter(id=FlowRunFilterId(any_=list(self._parts)))
            return client.read_flow_runs(flow_run_filter=wanted, limit=_MOST)


@contextmanager
def _started(
    directory: RunDirectory, options: ExecutionOptions, parts: list[Part]
) -> Iterator[_Children]:
    """Start parts, and leave none behind that nobody waits for."""
    children = _Children(directory, options)
    try:
        for part in parts:
            children.start(part)
        yield children
    except BaseException:
        children.end(all_of_them=True)
        raise
    children.end(all_of_them=False)


@contextmanager
def _client() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client
