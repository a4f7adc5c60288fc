"""Erase decision shortcuts of CLIP models at test time: `load_model`, `erase`, `find_shortcuts`.

Nothing is imported until it is used: PyTorch takes seconds, and most commands do without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seraser_core.api.erase import erase
    from seraser_core.api.found import Found
    from seraser_core.api.model import Model, load_model
    from seraser_core.api.result import Result
    from seraser_core.api.shortcuts import find_shortcuts

__all__ = ["Found", "Model", "Result", "erase", "find_shortcuts", "load_model"]
_PLACES = {
    "Found": "found",
    "Model": "model",
    "Result": "result",
    "erase": "erase",
    "find_shortcuts": "shortcuts",
    "load_model": "model",
}
"""Name -> module of `seraser_core.api` that has it."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.api.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
