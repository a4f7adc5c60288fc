"""Where this process has shards computed.

Tasks travel with a run directory and a shard id only, so an engine is not passed to them: it is
registered here, for this process, as an observer is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from seraser_core.config import RunConfig
from seraser_core.config.execution import ExecutionOptions
from seraser_core.engines import Engine, open_engine
from seraser_core.engines.threads import ThreadEngine

_current: Engine | None = None
_parts: ExecutionOptions | None = None


def engine() -> Engine:
    """Return the registered engine, or this process."""
    return _current or ThreadEngine()


def in_parts() -> ExecutionOptions | None:
    """Return the registered options of flow runs that are to compute shards, if there are any."""
    return _parts


@contextmanager
def computing_on(chosen: Engine) -> Iterator[None]:
    """Register an engine for this process meanwhile."""
    global _current
    before, _current = _current, chosen
    try:
        yield
    finally:
        _current = before


@contextmanager
def computing_as(config: RunConfig) -> Iterator[None]:
    """Register the engine of a configuration meanwhile, unless the process has one already."""
    global _parts
    if _current is not None or _parts is not None:
        yield
        return
    if config.execution.engine == "deployments":
        _parts = config.execution
        try:
            yield
        finally:
            _parts = None
        return
    with open_engine(config) as opened, computing_on(opened):
        yield
