"""Folders with a model that the library transformers has saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from seraser_core import storage
from seraser_core.errors import ConfigError
from seraser_core.models.json_files import blamed, read_object

_ORIGIN = ("_name_or_path", "_commit_hash", "transformers_version")


def read_document(folder: str, name: str) -> dict[str, Any]:
    """The JSON object in the file `name` of a model's folder.

    Raises:
        ConfigError: There is none, or it cannot be read.
    """
    url = storage.join(folder, name)
    missing = f"holds no {name}; give a folder that transformers has saved"
    with blamed("model.name", folder, missing):
        content = storage.read_bytes(url)
    return read_object(content, url)


def read_image_processor(folder: str) -> Any:
    """Read a folder's image processor; None if it has none.

    That is preprocessor_config.json, or what newer releases save in its place with the processor.

    Raises:
        ConfigError: It cannot be read.
    """
    for name in ("processor_config.json", "preprocessor_config.json"):
        if holds(folder, name):
            document = read_document(folder, name)
            given = document.get("image_processor") if name.startswith("processor") else document
            if given is not None:
                return given
    return None


def holds(folder: str, name: str) -> bool:
    """Return whether a model's folder has the file `name`.

    Raises:
        ConfigError: That cannot be found out.
    """
    with blamed("model.name", folder):
        return storage.exists(storage.join(folder, name))


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
    """Return a configuration without its origin and the release that wrote it."""
    return {key: value for key, value in config.items() if key not in _ORIGIN}
