"""From options to methods."""

from __future__ import annotations

from collections.abc import Callable

from seraser_core.config.methods import MethodOptions
from seraser_core.methods.base import Method, Setting
from seraser_core.methods.ensemble import Ensemble
from seraser_core.methods.foreground import Foreground
from seraser_core.methods.group_prompt import GroupPrompt
from seraser_core.methods.roboshot import Roboshot
from seraser_core.methods.seraser import Seraser
from seraser_core.methods.seraser_task import SeraserTask
from seraser_core.methods.tda import Tda
from seraser_core.methods.tpt import Tpt
from seraser_core.methods.vte import Vte
from seraser_core.methods.zero_shot import ZeroShot
from seraser_core.models.loading import ClipModel
from seraser_core.models.prompts import Prompts

METHODS: dict[str, type[Method]] = {
    "zero_shot": ZeroShot,
    "seraser": Seraser,
    "seraser_task": SeraserTask,
    "foreground": Foreground,
    "ensemble": Ensemble,
    "group_prompt": GroupPrompt,
    "tpt": Tpt,
    "vte": Vte,
    "tda": Tda,
    "roboshot": Roboshot,
}


def build_method(options: MethodOptions, setting: Setting) -> Method:
    """The method that `options` describe."""
    make: Callable[[MethodOptions, Setting], Method] = METHODS[_name(options)]
    return make(options, setting)


def check_method(options: MethodOptions, prompts: Prompts, model: ClipModel) -> None:
    """Refuse options that do not go with the run's classes and model.

    Raises:
        ConfigError: They do not.
    """
    METHODS[_name(options)].check(options, prompts, model)


def is_stateful(options: MethodOptions) -> bool:
    """Whether an image's scores depend on the images before it in its shard."""
    return METHODS[_name(options)].stateful


def _name(options: MethodOptions) -> str:
    return options.name  # type: ignore[attr-defined]
