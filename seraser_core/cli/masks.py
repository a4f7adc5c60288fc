"""`seraser masks`: foreground masks of a data set, as a table for other runs."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from seraser_core.cli.arguments import ConfigArgument, JsonOption, NoPrefectOption, SetOption
from seraser_core.cli.console import errors, print_json, print_text, say_next
from seraser_core.cli.execute import execute
from seraser_core.display import count, printable
from seraser_core.kinds import MADE_MASKS


def _known(kind: str) -> str:
    if kind not in MADE_MASKS:
        raise typer.BadParameter(f"{kind!r} is not one of {', '.join(map(repr, MADE_MASKS))}.")
    return kind


def masks(
    config: ConfigArgument,
    kind: Annotated[
        str,
        typer.Option(
            metavar=f"[{'|'.join(MADE_MASKS)}]",
            callback=_known,
            help="relevance: the model's own patch evidence. segment: a text-prompted detector "
            "and a segmenter, see the options segment.*.",
        ),
    ] = "relevance",
    set_: SetOption = None,
    no_prefect: NoPrefectOption = False,
    json: JsonOption = False,
) -> None:
    """Make masks of CONFIG's images as PNG files, and a table that names them.

    It prints the data set's options with these masks.

    A run of its own, named CONFIG's name and `-masks`; the same command again makes only what is
    missing.
    """
    import yaml

    from seraser_core.results.mask_table import write_mask_table
    from seraser_core.runner.mask_options import mask_options

    run_url = execute(config, mask_options(config, kind, set_ or []), no_prefect)
    table = write_mask_table(run_url, kind)
    if json:
        print_json({"run": run_url, **dataclasses.asdict(table)})
        return
    made = f"{count(table.masks, 'mask')} of {count(table.images, 'image')}"
    errors.print(made)
    errors.print("to use them, put this into a configuration:\n")
    text = yaml.safe_dump({"dataset": table.dataset}, sort_keys=False, allow_unicode=True)
    if printable(text) != text:
        text = yaml.safe_dump({"dataset": table.dataset}, sort_keys=False)
    print_text(text)
    say_next("plan", config)
