"""`seraser doctor`: what this machine offers, and what a report of a bug needs."""

from __future__ import annotations

import dataclasses

import typer

from seraser_core.cli.arguments import JsonOption, MarkdownOption
from seraser_core.cli.console import HINT_STYLE, print_json, print_table, results, say_next
from seraser_core.waiting import waiting


def doctor(json: JsonOption = False, markdown: MarkdownOption = False) -> None:
    """Look at versions, device, memory, disks, proxies, Prefect, S3 and the weights that are here.

    Put what it prints into a report of a bug; it shows no passwords and no keys. Exit code 1 when
    something will not do.
    """
    from seraser_core.cli.checks import all_checks

    with waiting("looking at this machine"):
        made = list(all_checks())
    if json:
        print_json([dataclasses.asdict(check) for check in made])
    elif markdown:
        rows = [dataclasses.asdict(check) | {"hint": check.hint or None} for check in made]
        print_table("seraser doctor", ("name", "state", "found", "hint"), rows)
    else:
        for check in made:
            style = "green" if check.state == "ok" else "bold yellow"
            results.print(f"{check.state:<5}", style=style, end="")
            results.print(f"{check.name:<11}{check.found}")
            if check.hint:
                results.print(f"{'':<5}hint: ", style=HINT_STYLE, end="")
                results.print(check.hint)
    if any(check.state == "warn" for check in made):
        raise typer.Exit(1)
    if not json:
        say_next("demo")
