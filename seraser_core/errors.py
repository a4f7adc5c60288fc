"""Errors that people and the runner act on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

from seraser_core.redaction import redacted

HINT = "hint: "
"""Beginning of the line that says what to do about a fault."""
ErrorStage = Literal["fetch", "decode", "validate", "infer"]


def in_a_sentence(error: BaseException) -> str:
    """Return the message of an error on one line, without a mark before its remedy."""
    return "; ".join(line.removeprefix(HINT).strip() for line in str(error).splitlines())


class SeraserError(Exception):
    """Base of all errors that this package raises on purpose; their texts hold no keys.

    Args:
        message: The fault.
        hint: Remedy, which is shown on a line of its own; empty if there is none.
    """

    _made_of: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **options: Any) -> Self:
        error = super().__new__(cls, *args)
        error._made_of = args, options
        return error

    def __init__(self, message: str = "", hint: str = "") -> None:
        super().__init__(redacted(f"{message}\n{HINT}{hint}" if hint else message))

    def __reduce__(self) -> tuple[Any, ...]:
        # Python would make it of its message alone, in the process that a worker's error reaches.
        args, options = self._made_of
        texts = {name: _redacted(value) for name, value in options.items()}
        return _make, (type(self), tuple(map(_redacted, args)), texts)


def _redacted(value: Any) -> Any:
    return redacted(value) if isinstance(value, str) else value


def _make(kind: type[SeraserError], args: tuple[Any, ...], options: dict[str, Any]) -> SeraserError:
    return kind(*args, **options)


class ConfigError(SeraserError):
    """A setting or the data it points to cannot be used; raised before any work is done.

    Args:
        field: Dotted name of the setting, e.g. ``dataset.classes``.
        value: The value that is there.
        remedy: Advice how to fix it.
    """

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(f"{field}: {value}", remedy)
        self.field, self.value, self.remedy = field, value, remedy

    @property
    def mistakes(self) -> Sequence[ConfigError]:
        """Everything that is wrong, one by one."""
        return (self,)


class SeveralMistakesError(ConfigError):
    """Several settings cannot be used.

    Args:
        mistakes: At least one mistake; the first one gives the field, value and remedy.
    """

    def __init__(self, mistakes: Sequence[ConfigError]) -> None:
        first = mistakes[0]
        super().__init__(first.field, first.value, first.remedy)
        self._mistakes = mistakes

    @property
    def mistakes(self) -> Sequence[ConfigError]:
        """Everything that is wrong, one by one."""
        return self._mistakes

    def __str__(self) -> str:
        return "\n".join(map(str, self._mistakes))


class RunDirectoryError(SeraserError):
    """A run directory is missing, damaged, or belongs to another configuration."""


class ItemError(SeraserError):
    """One image can never be used as it is: it becomes an error row.

    Args:
        stage: Stage that failed.
        code: Short stable name of the fault, e.g. ``undecodable``.
        message: Description for people.
    """

    def __init__(self, stage: ErrorStage, code: str, message: str) -> None:
        super().__init__(message)
        self.stage, self.code, self.message = stage, code, str(self)


class TransientError(SeraserError):
    """A fault that may pass (throttling, time-out): the shard is held back and tried again."""


class DeviceLostError(TransientError):
    """A GPU no longer answers this process, which can compute nothing more."""


class ChangedError(SeraserError):
    """A file is not the one that was planned with."""


class ErrorRateError(SeraserError):
    """Too many images of a shard failed: the cause is probably not the images."""


class HangError(TransientError):
    """A decoder hangs; the next attempt decodes in a process that can be killed."""
