"""Engines: where the shards of a run are computed."""

from seraser_core.engines.base import Engine, open_engine

__all__ = ["Engine", "open_engine"]
