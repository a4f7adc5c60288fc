"""The implementations of the methods."""

from __future__ import annotations

from seraser_core.config.methods import MethodOptions, offered_methods
from seraser_core.methods.method import Method
from seraser_core.plugins import resolve


def method_class(options: MethodOptions) -> type[Method]:
    """Return the method's class; an instance takes `options` and a `MethodContext`.

    Raises:
        ConfigError: The method is of another package, and its class cannot be imported or is no
            method.
    """
    origin = offered_methods().origins.get(options.name)
    implementation: type[Method] = resolve(
        options.implementation, Method, f"methods.{options.id}", origin
    )
    return implementation
