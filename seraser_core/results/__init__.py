"""Run directories, prediction rows and what is made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seraser_core.results.reading import scan
    from seraser_core.results.shards import RunDirectory

__all__ = ["RunDirectory", "scan"]


def __getattr__(name: str) -> Any:
    """Import an exported name on first use: Polars takes a second."""
    if name == "scan":
        from seraser_core.results.reading import scan

        return scan
    if name == "RunDirectory":
        from seraser_core.results.shards import RunDirectory

        return RunDirectory
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
