"""Folders with a model that the library transformers has saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from seraser_core import storage
from seraser_core.errors import ConfigError, TransientError

_ORIGIN = ("_name_or_path", "_commit_hash", "transformers_version")


def read_document(folder: str, name: str) -> dict[str, Any]:
    """The JSON object in the file `name` of a model's folder.

    Raises:
        ConfigError: There is none.
    """
    url = storage.join(folder, name)
    try:
        document = storage.read_json(url)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            "model.name", folder, f"holds no {name}; give a folder that transformers has saved"
        ) from None
    except (OSError, TransientError) as error:
        raise ConfigError("model.name", url, f"cannot be read: {error}") from None
    except ValueError as error:
        raise ConfigError("model.name", url, f"is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError("model.name", url, "is no JSON object")
    return document


def import_transformers(field: str, what: str, extra: str) -> ModuleType:
    """The library, which takes seconds to import.

    Args:
        field: Setting that asks for it.
        what: Thing that needs it, for the message.
        extra: Name of the extra that installs it.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(
            field, f"{what} needs transformers ({error})", f"pip install 'seraser[{extra}]'"
        ) from error
    return transformers


@contextmanager
def quiet(library: ModuleType) -> Iterator[None]:
    """Keep the progress bars and reports of transformers from the terminal."""
    log = library.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(log.CRITICAL)
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def without_origin(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what says where it was read and by what release."""
    return {key: value for key, value in config.items() if key not in _ORIGIN}
