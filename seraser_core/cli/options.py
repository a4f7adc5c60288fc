"""`seraser options`: every option of a configuration."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from seraser_core.cli.arguments import JsonOption, MarkdownOption
from seraser_core.cli.console import print_json, print_table, results, say_next


def _names(incomplete: str) -> list[str]:
    from seraser_core.config.described import all_options

    return [one.name for one in all_options() if one.name.startswith(incomplete)]


def options(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="An option, or a group of them, as dataset or methods.seraser.",
            show_default=False,
            autocompletion=_names,
        ),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print a JSON schema, for editors.")
    ] = False,
    json: JsonOption = False,
    markdown: MarkdownOption = False,
) -> None:
    """List the options of a configuration with their defaults, or tell of NAME.

    An editor with a server for YAML completes and checks a file whose first line is
    `# yaml-language-server: $schema=seraser.schema.json`, with the schema beside it.
    """
    from seraser_core.config.described import all_options, find_options, options_schema

    if schema:
        print_json(options_schema())
        say_next("init", ".")
        return
    found = find_options(name) if name else all_options()
    if json:
        print_json([dataclasses.asdict(one) for one in found])
    elif len(found) == 1:
        results.print(f"{found[0].name}: {found[0].default}", style="bold")
        results.print(found[0].description)
    else:
        of_one = name is not None and name.startswith("methods.")
        rows = [
            {
                "option": one.name,
                "default": one.default,
                "methods": None if of_one else ", ".join(one.methods) or None,
                "what": one.description,
            }
            for one in found
        ]
        print_table("options", ("option", "default", "methods", "what"), rows)
    if not json:
        say_next(*(("init", ".") if name else ("options", "dataset")))
