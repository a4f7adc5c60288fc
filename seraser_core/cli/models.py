"""`seraser models`: models that a run can load without a network."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from seraser_core.cli.arguments import JsonOption, MarkdownOption
from seraser_core.cli.console import errors, print_json, print_table, say_next


def models(
    all_: Annotated[
        bool, typer.Option("--all", help="List every model and tag that open_clip can fetch.")
    ] = False,
    json: JsonOption = False,
    markdown: MarkdownOption = False,
) -> None:
    """List the models whose weights are on this machine, for model.name and model.pretrained."""
    from seraser_core.models.cached import cached_weights
    from seraser_core.open_clip_tables import table

    weights = cached_weights()
    if all_:
        here = {(one.name, one.pretrained) for one in weights}
        rows = [
            {"name": name, "pretrained": tag, "here": (name, tag) in here}
            for name, tag in table("pretrained").list_pretrained()
        ]
    else:
        rows = [dataclasses.asdict(one) for one in weights]
    if json:
        print_json(rows)
    elif rows:
        print_table("models", tuple(rows[0]), rows)
    else:
        errors.print(
            "no weights of open_clip are on this machine; they are fetched on first use. "
            "a weights file works as well"
        )
    if not json:
        say_next(*(("options", "model") if all_ else ("models", "--all")))
