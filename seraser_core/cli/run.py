"""`seraser run`: plan, compute the missing shards, merge."""

from __future__ import annotations

from seraser_core.cli.arguments import ConfigArgument, JsonOption, NoPrefectOption, SetOption
from seraser_core.cli.execute import execute
from seraser_core.cli.report import show_run


def run(
    config: ConfigArgument,
    set_: SetOption = None,
    no_prefect: NoPrefectOption = False,
    json: JsonOption = False,
) -> None:
    """Run CONFIG to its end; the same command again computes only what is missing.

    Runs as a Prefect flow, on the server that PREFECT_API_URL names, else on a temporary one.
    """
    show_run(execute(config, set_ or [], no_prefect), json)
