"""`seraser plan`: check a configuration and everything it points to."""

from __future__ import annotations

import typer

from seraser_core.cli.arguments import ConfigArgument, JsonOption, SetOption
from seraser_core.cli.console import print_json
from seraser_core.cli.execute import watching


def plan(config: ConfigArgument, set_: SetOption = None, json: JsonOption = False) -> None:
    """Check CONFIG, list its data set and make the run directory, without computing anything."""
    from seraser_core.config import load_config
    from seraser_core.results.run_directory import RunDirectory
    from seraser_core.runner.plan import complete, prepare_run

    loaded = load_config(config, set_ or [])
    with watching() as display:
        run_url = complete(prepare_run(loaded, display.say), display.say)
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
