"""`seraser plan`: check a configuration and everything it points to."""

from __future__ import annotations

import typer

from seraser_core.cli.arguments import ConfigArgument, JsonOption, SetOption
from seraser_core.cli.console import errors, print_json


def plan(config: ConfigArgument, set_: SetOption = None, json: JsonOption = False) -> None:
    """Check CONFIG, list its data set and make the run directory, without computing anything."""
    from seraser_core.config import load_config

    loaded = load_config(config, set_ or [])  # a typo is told before torch is imported
    from seraser_core.results.run_directory import RunDirectory
    from seraser_core.runner.plan import plan_run

    def say(text: str) -> None:
        errors.print(text, markup=False, highlight=False)

    run_url = plan_run(loaded, say)
    directory = RunDirectory(run_url)
    if not json:
        typer.echo(run_url)
        return
    run, shards = directory.run(), directory.shards()
    print_json(
        {
            "run": run_url,
            "run_id": run["run_id"],
            "images": sum(shard.stop - shard.start for shard in shards),
            "shards": len(shards),
            "done": len(directory.done()),
        }
    )
