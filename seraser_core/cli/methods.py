"""`seraser methods`: what there is to compare."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated

import typer

from seraser_core.cli.arguments import JsonOption
from seraser_core.cli.console import print_json, print_table

if TYPE_CHECKING:
    from seraser_core.config import MethodOptions


def methods(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[METHOD]", help="Show this one's options.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the methods with what they do and the paper they come from, or the options of METHOD."""
    from seraser_core.config import METHOD_OPTIONS

    if name is not None and name not in METHOD_OPTIONS:
        near = difflib.get_close_matches(name, METHOD_OPTIONS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise typer.BadParameter(f"{name}: {hint}methods: {', '.join(METHOD_OPTIONS)}")
    if json:
        print_json(
            {
                method: {"what": _what(options), "options": _options(options)}
                for method, options in METHOD_OPTIONS.items()
                if name in (None, method)
            }
        )
    elif name is None:
        rows = [{"method": m, "what": _what(options)} for m, options in METHOD_OPTIONS.items()]
        print_table("methods", ("method", "what"), rows)
    else:
        options = METHOD_OPTIONS[name]
        print_table(f"{name}: {_what(options)}", ("option", "default", "what"), _options(options))


def _what(options: type[MethodOptions]) -> str:
    return (options.__doc__ or "").strip().splitlines()[0]


def _options(options: type[MethodOptions]) -> list[dict[str, str]]:
    from seraser_core.config import describe_options

    return [
        {"option": option, "default": default, "what": what}
        for option, default, what in describe_options(options)
        if option != "name"
    ]
