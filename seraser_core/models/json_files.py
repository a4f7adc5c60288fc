"""JSON files of models: read from storage, with their faults as faults of a setting."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from seraser_core.errors import ConfigError, TransientError

_MOST = 1e30
_NO_FILE = "there is no such file; a folder or a pipe is none"


class UnreadableError(ConfigError, TransientError):
    """A part of a model cannot be read now: planning ends, and a worker may try its shard again."""


@contextmanager
def blamed(field: str, value: str, missing: str = _NO_FILE) -> Iterator[None]:
    """Turn the faults of reading `value` into faults of the setting `field`.

    Args:
        field: Dotted name of the setting.
        value: Its value.
        missing: Message if there is no file.

    Raises:
        ConfigError: There is no such file, or it cannot be read.
        UnreadableError: It cannot be read for a reason that may pass.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(field, value, missing) from None
    except TransientError as error:
        raise UnreadableError(field, value, f"cannot be read: {error}") from error
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(field, value, f"cannot be read: {error}") from error


def read_object(content: bytes, url: str) -> dict[str, Any]:
    """The JSON object in `content`, which was read from `url`.

    Raises:
        ConfigError: It is none.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ConfigError("model.name", url, f"is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError("model.name", url, "is no JSON object")
    return document


def refused(place: str, name: str, value: object, remedy: str) -> ConfigError:
    """Build the error for an unusable value in a file of a model.

    Args:
        place: The folder or file.
        name: Name of the value in the JSON.
        value: The unusable value.
        remedy: Description of possible values.
    """
    return ConfigError("model.name", f"{place}: {name} {json.dumps(value)}", remedy)


def number(place: str, name: str, value: object) -> float:
    """A finite number.

    Raises:
        ConfigError: `value` is none; see `refused`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _MOST:
        raise refused(place, name, value, "must be a number")
    return float(value)


def three_numbers(place: str, name: str, values: object) -> list[float]:
    """Three finite numbers, one per colour.

    Raises:
        ConfigError: `values` are none; see `refused`.
    """
    if not isinstance(values, list | tuple) or len(values) != 3:
        raise refused(place, name, values, "must be three numbers")
    return [number(place, name, value) for value in values]
