"""`seraser methods`: the methods and their options."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated

import typer

from seraser_core.cli.arguments import JsonOption, MarkdownOption
from seraser_core.cli.console import errors, print_json, print_table, say_next
from seraser_core.errors import ConfigError

if TYPE_CHECKING:
    from seraser_core.config import MethodOptions


def _names(incomplete: str) -> list[str]:
    from seraser_core.config.methods import method_options

    return [name for name in method_options() if name.startswith(incomplete)]


def methods(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[METHOD]",
            help="Show this one's options.",
            show_default=False,
            autocompletion=_names,
        ),
    ] = None,
    json: JsonOption = False,
    markdown: MarkdownOption = False,
) -> None:
    """List the methods with what they do and the paper they come from, or the options of METHOD.

    Those of other packages are named with the package.
    """
    from seraser_core.config.methods import offered_methods

    offered = offered_methods()
    known, faults, packages = offered.members, offered.faults, offered.origins
    if name in faults:
        raise ConfigError("methods", faults[name].problem, faults[name].remedy)
    if name is not None and name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean `{near[0]}`? " if near else ""
        raise ConfigError("METHOD", repr(name), f"{hint}methods: {', '.join(known)}")
    if json:
        print_json(
            {
                method: {
                    "what": options.summary(),
                    "package": packages.get(method),
                    "options": _options(options),
                }
                for method, options in known.items()
                if name in (None, method)
            }
        )
    elif name is None:
        rows = [
            {"method": method, "what": options.summary(), "package": packages.get(method)}
            for method, options in known.items()
        ]
        print_table("methods", ("method", "what", "package"), rows)
    else:
        options = known[name]
        print_table(
            f"{name}: {options.summary()}", ("option", "default", "what"), _options(options)
        )
    if not json:
        say_next(*(("methods", "seraser") if name is None else ("options", f"methods.{name}")))
    if name is None:
        for fault in faults.values():
            errors.print(f"WARNING: {fault.problem}; {fault.remedy}")


def _options(options: type[MethodOptions]) -> list[dict[str, str]]:
    from seraser_core.config import describe_options

    return [
        {"option": option, "default": default, "what": what}
        for option, default, what in describe_options(options)
        if option != "name"
    ]
