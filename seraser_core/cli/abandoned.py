"""Flow runs whose worker died with the machine: Prefect takes them for running for ever."""

from __future__ import annotations

from contextlib import suppress

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Crashed

_HELD = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
"""States that take a place of the work pool, whose number is limited."""


def end_abandoned(api_url: str, work_pool: str) -> int:
    """Say of all flow runs of a work pool that are under way that they crashed.

    To be called while the pool has no worker. Runs that wait for their time stay as they are.

    Args:
        api_url: Of Prefect's server.
        work_pool: Name of the pool.

    Returns:
        The number of runs.
    """
    under_way = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_HELD)))
    pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[work_pool]))
    state: State[None] = Crashed(message="its worker ended before it did; run it again to go on")
    with (
        temporary_settings({PREFECT_API_URL: api_url}),
        get_client(sync_client=True) as client,
    ):
        # Once: where the pool has a worker after all, it begins others in the places of these.
        runs = client.read_flow_runs(flow_run_filter=under_way, work_pool_filter=pool)
        for run in runs:
            with suppress(ObjectNotFound):  # deleted meanwhile
                client.set_flow_run_state(run.id, state, force=True)
    return len(runs)
