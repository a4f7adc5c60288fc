"""Reasons of failed flow runs, for the people who watch them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
from prefect.client.orchestration import get_client
from prefect.events import Event, Resource
from prefect.runtime import flow_run
from rich.markup import escape

from seraser_core.errors import SeraserError
from seraser_core.redaction import redacted

_MOST = 2000
"""Characters of a reason."""


@contextmanager
def reasons() -> Iterator[None]:
    """Tell Prefect's server why the flow run fails, as an event.

    ``prefect deployment run --watch`` prints the run's events and the name of its last state, but
    not that state's message; logs only where the server streams them, which it does not by itself.
    """
    try:
        yield
    except Exception as error:
        if flow_run.id is not None:
            with suppress(httpx.HTTPError):  # the fault itself matters more
                _send(flow_run.id, error)
        raise


def _send(run_id: str, error: Exception) -> None:
    text = str(error) if isinstance(error, SeraserError) else f"{type(error).__name__}: {error}"
    event = Event(
        event="seraser.failed",
        resource=Resource(
            {
                "prefect.resource.id": f"prefect.flow-run.{run_id}",
                "prefect.resource.name": escape(redacted(text)[:_MOST]),  # printed as markup
            }
        ),
    )
    with get_client(sync_client=True) as client:
        # Not `emit_event`, which sends later: events after the last state are not printed.
        client.request("POST", "/events", json=[event.model_dump(mode="json")])
