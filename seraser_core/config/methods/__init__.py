"""The options of the methods, one file per method; `seraser_core.methods` mirrors it.

Nothing here imports torch, so that a mistake in a configuration is told at once.
"""

from __future__ import annotations

from functools import cache
from pkgutil import resolve_name
from typing import Annotated, Any, Union, get_args

from pydantic import BeforeValidator, Field, GetPydanticSchema

from seraser_core.config.methods.method_options import MethodOptions
from seraser_core.config.methods.seraser import SeraserOptions
from seraser_core.config.methods.zero_shot import ZeroShotOptions
from seraser_core.plugins import Group, load_group

__all__ = [
    "AnyMethod",
    "MethodOptions",
    "default_methods",
    "load_methods",
    "method_options",
    "offered_methods",
]

_OURS = {
    "zero_shot": "zero_shot:ZeroShotOptions",
    "seraser": "seraser:SeraserOptions",
    "seraser_task": "seraser_task:SeraserTaskOptions",
    "foreground": "foreground:ForegroundOptions",
    "background": "background:BackgroundOptions",
    "ensemble": "ensemble:EnsembleOptions",
    "group_prompt": "group_prompt:GroupPromptOptions",
    "tpt": "tpt:TptOptions",
    "vte": "vte:VteOptions",
    "zero": "zero:ZeroOptions",
    "mta": "mta:MtaOptions",
    "tps": "tps:TpsOptions",
    "tda": "tda:TdaOptions",
    "roboshot": "roboshot:RoboshotOptions",
    "tie": "tie:TieOptions",
    "sage": "sage:SageOptions",
    "sage_random": "sage:SageRandomOptions",
    "orth_proj": "orthogonal:OrthProjOptions",
    "orth_cali": "orthogonal:OrthCaliOptions",
    "perception": "perception:PerceptionOptions",
}
"""Name of a method -> where its options are; in the order in which they are listed."""


def load_methods() -> Group[type[MethodOptions]]:
    """Return the options of all methods: ours, and those of the entry points `seraser.methods`."""
    ours = {name: resolve_name(f"{__name__}.{place}") for name, place in _OURS.items()}
    return load_group("seraser.methods", ours, _check)


@cache
def offered_methods() -> Group[type[MethodOptions]]:
    """Return what `load_methods` finds on the first call.

    An import of this package must not load them: a package with a method imports it in turn.
    """
    return load_methods()


def method_options() -> dict[str, type[MethodOptions]]:
    """Return the options of the methods that can be used, by name."""
    return offered_methods().members


def default_methods() -> list[MethodOptions]:
    """Return the methods of a configuration that names none."""
    return [ZeroShotOptions(), SeraserOptions()]


def _check(name: str, offered: object) -> type[MethodOptions]:
    if not isinstance(offered, type) or not issubclass(offered, MethodOptions):
        raise TypeError(f"{offered!r} is no subclass of {MethodOptions.__module__}.MethodOptions")
    if get_args(offered.model_fields["name"].annotation) != (name,):
        raise TypeError(f'{offered.__name__} must have the field name: Literal["{name}"]')
    if not isinstance(getattr(offered, "implementation", None), str):
        raise TypeError(f"{offered.__name__} must say where its implementation is")
    return offered


def _from_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _union() -> Any:
    return Annotated[Union[tuple(method_options().values())], Field(discriminator="name")]  # noqa: UP007


AnyMethod = Annotated[
    MethodOptions,
    GetPydanticSchema(lambda _source, handler: handler.generate_schema(_union())),
    BeforeValidator(_from_name),
]
"""The options of any method; a name stands for its defaults.

Its schema asks for all methods, so models that have it must be built late: ``defer_build``.
"""
