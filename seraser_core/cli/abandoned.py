"""Flow runs whose worker died with its machine: Prefect would show them as running for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType, Worker
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Crashed

_HELD = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
"""States that occupy a slot of the work pool."""
_HEARTBEATS = 3
_HEARTBEAT_S = 30


class Abandoned:
    """The flow runs of a work pool that are running before its worker starts.

    No run says which worker has it. One that was killed does not end its runs; others of the pool
    may have gone on while the server was away, and their first sign of life comes later.

    Args:
        api_url: URL of Prefect's API.
        work_pool: Name of the pool.
        worker: Name of the worker that is about to start, and of all that were started so before.
    """

    def __init__(self, api_url: str, work_pool: str, worker: str) -> None:
        self._api_url, self._pool, self._worker = api_url, work_pool, worker
        self._workers = {other.name: other for other in self._others()}
        self._runs = self._under_way()

    def end(self, wait: Callable[[str, float], None]) -> str | None:
        """Mark those still running as crashed, unless another worker may have them.

        Args:
            wait: Called with the reason and the seconds to wait for signs of other workers.

        Returns:
            What came of it, for people; None where there was nothing to do.
        """
        if self._runs and self._workers:
            intervals = (other.heartbeat_interval_seconds for other in self._workers.values())
            seconds = _HEARTBEATS * max(interval or _HEARTBEAT_S for interval in intervals)
            wait(
                f"{_runs(len(self._runs))} under way: looking out for signs of life of other "
                f"workers for {seconds} s",
                seconds,
            )
        then = {run.id: run.state_id for run in self._runs}
        runs = [run for run in self._under_way() if then.get(run.id) == run.state_id]
        if not runs:
            return None
        if alive := [other.name for other in self._others() if self._has_stirred(other)]:
            return (
                f"{_runs(len(runs))} under way, of another worker ({', '.join(alive)}) or of one "
                "that was killed; `prefect flow-run ls --state Running` lists them, and "
                "`prefect flow-run delete ID` frees the place of one that nobody has"
            )
        ended = self._end(runs)
        return f"{_runs(ended)} without an end when the last worker was killed: called crashed now"

    def _has_stirred(self, worker: Worker) -> bool:
        before = self._workers.get(worker.name)
        return before is None or before.last_heartbeat_time != worker.last_heartbeat_time

    @contextmanager
    def _client(self) -> Iterator[SyncPrefectClient]:
        with (
            temporary_settings({PREFECT_API_URL: self._api_url}),
            get_client(sync_client=True) as client,
        ):
            yield client

    def _others(self) -> list[Worker]:
        with self._client() as client:
            workers = client.read_workers_for_work_pool(self._pool)
        return [worker for worker in workers if worker.name != self._worker]

    def _under_way(self) -> list[FlowRun]:
        state = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_HELD)))
        pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[self._pool]))
        with self._client() as client:
            return client.read_flow_runs(flow_run_filter=state, work_pool_filter=pool)

    def _end(self, runs: list[FlowRun]) -> int:
        state: State[None] = Crashed(message="its worker ended before it did; run it again")
        ended = 0
        with self._client() as client:
            for run in runs:
                with suppress(ObjectNotFound):  # deleted meanwhile
                    answer = client.set_flow_run_state(run.id, state, force=True)
                    ended += answer.status == SetStateStatus.ACCEPT
        return ended


def _runs(number: int) -> str:
    return "1 flow run was" if number == 1 else f"{number} flow runs were"
