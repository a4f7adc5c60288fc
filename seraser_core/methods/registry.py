"""From options to methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seraser_core.config.options import MethodOptions
from seraser_core.methods.base import Method, Setting
from seraser_core.methods.foreground import Foreground
from seraser_core.methods.seraser import Seraser
from seraser_core.methods.tpt import Tpt
from seraser_core.methods.zero_shot import ZeroShot

METHODS: dict[str, Callable[[Any, Setting], Method]] = {
    "zero_shot": ZeroShot,
    "foreground": Foreground,
    "seraser": Seraser,
    "tpt": Tpt,
}


def build_method(options: MethodOptions, setting: Setting) -> Method:
    """The method that `options` describe."""
    return METHODS[options.name](options, setting)  # type: ignore[attr-defined]
