"""Mistakes in arguments, told by the names that the arguments have here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from seraser_core.config.mistakes import one_of_all
from seraser_core.errors import ConfigError
from seraser_core.models.early import NO_WEIGHTS

_ARGUMENTS = {
    "model.name": "name",
    "model.pretrained": "pretrained",
    "model.device": "device",
    "model.precision": "precision",
    "dataset.classes": "classes",
    "dataset.template": "template",
    "runtime.batch_size": "batch_size",
    "shortcuts.sample": "sample",
    "methods.0": "method",
    "methods": "method",
}
"""Option of a run -> the argument that sets it."""
_NO_WEIGHTS = (
    'without a network, give the path of a weights file; or try things with "random" weights, or '
    'with load_model("demo"), whose weights come with the package'
)


@contextmanager
def as_arguments(names: Mapping[str, str] = _ARGUMENTS) -> Iterator[None]:
    """Name the arguments in mistakes that are told of the options of a run."""
    try:
        yield
    except ConfigError as error:
        raise one_of_all(
            ConfigError(_argument(one.field, names), one.value, _named(one.remedy, names))
            for one in error.mistakes
        ) from None


def _argument(field: str, names: Mapping[str, str]) -> str:
    for option, argument in names.items():
        if field == option or field.startswith(f"{option}."):
            return argument + field.removeprefix(option)
    return field


def _named(remedy: str, names: Mapping[str, str]) -> str:
    remedy = remedy.replace(NO_WEIGHTS, _NO_WEIGHTS)
    for option, argument in names.items():
        if "." in option:
            remedy = remedy.replace(option, argument)
    return remedy
