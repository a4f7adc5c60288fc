"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seraser_core.cli.console import print_markdown


def absolute_location(run: str) -> str:
    """Return the absolute location of a run: reports and messages are read in other folders."""
    from seraser_core import storage

    try:
        return storage.absolute(run, Path.cwd())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


ConfigArgument = Annotated[
    str, typer.Argument(metavar="CONFIG", help="YAML file, a path or a URL.", show_default=False)
]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Run directory, or where it makes sense a comparison's or series'; a path or a URL.",
        show_default=False,
        callback=absolute_location,
    ),
]
RunsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN",
        help="Run directories, or one of a comparison or a series; paths or URLs.",
        show_default=False,
        callback=lambda runs: list(map(absolute_location, runs)),
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=VALUE", help="Change an option; repeat for more."),
]
ExecutionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="execution.A=VALUE",
        help="Change where shards are computed; repeat for more.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
MarkdownOption = Annotated[
    bool, typer.Option("--md", help="Print tables as Markdown.", callback=print_markdown)
]
NoPrefectOption = Annotated[
    bool, typer.Option("--no-prefect", help="Compute the same shards without Prefect.")
]
