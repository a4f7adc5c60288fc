"""From options to methods."""

from __future__ import annotations

import pkgutil

from seraser_core.config.methods import MethodOptions, offered_methods
from seraser_core.errors import ConfigError
from seraser_core.methods.base import Method


def method_class(options: MethodOptions) -> type[Method]:
    """Return the class of the method that `options` describe; it is made of them and a `Setting`.

    Raises:
        ConfigError: The method is of another package, and its class cannot be imported or is no
            method.
    """
    origin = offered_methods().origins.get(options.name)
    try:
        implementation = pkgutil.resolve_name(options.implementation)
        if not isinstance(implementation, type) or not issubclass(implementation, Method):
            raise TypeError(f"{implementation!r} is no subclass of seraser_core.methods.Method")
    except Exception as error:  # anything can go wrong in the code of others
        if origin is None:
            raise
        raise ConfigError(
            f"methods.{options.id}",
            f"{options.implementation} of {origin} cannot be used: {type(error).__name__}: {error}",
            f"repair, update or uninstall {origin.partition(' ')[0]}",
        ) from error
    return implementation
