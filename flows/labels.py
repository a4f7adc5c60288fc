"""The name and the tags by which people find a flow run on Prefect's pages."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from seraser_core.config import load_config, parse_config
from seraser_core.config.options import RunConfig
from seraser_core.errors import SeraserError
from seraser_core.results.records import RunRecord


def label(config: str | dict[str, Any], overrides: list[str]) -> None:
    """Name the current flow run after its run and the time, and tag it; see `tags_of`.

    A configuration that cannot be used gives the name of its file: what is wrong is told later.
    """
    try:
        loaded = load_config(config, overrides)
    except SeraserError:
        file = PurePosixPath(config) if isinstance(config, str) else None
        _set(file.stem if file else "seraser", [])
    else:
        _set(loaded.name, tags_of(loaded))


def label_planned(run: RunRecord, part: str = "") -> None:
    """Label the current flow run, whose run is already planned; see `label`.

    Args:
        run: Its run.json.
        part: Which part of it the flow run computes; empty for all of it.
    """
    name = f"{run.name} part {part}" if part else run.name
    _set(name, tags_of(parse_config(run.config.document())))


def label_as(name: str) -> None:
    """Name the current flow run, which is of several runs; see `label`."""
    _set(name, [])


def tags_of(config: RunConfig) -> list[str]:
    """Return the names of the run, the data set and the model."""
    dataset = config.dataset
    named = dataset.name or "/".join(PurePosixPath(dataset.path).parts[-2:]).lstrip("/")
    return [config.name, named, PurePosixPath(config.model.name).name]


def _set(name: str, tags: list[str]) -> None:
    if flow_run.id is None:  # a test of the function alone
        return
    with get_client(sync_client=True) as client:
        client.update_flow_run(
            flow_run.id,
            name=f"{name} {datetime.now().astimezone():%Y-%m-%d %H:%M}",
            tags=sorted({*flow_run.tags, *tags}),
        )
