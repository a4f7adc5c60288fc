"""`seraser plan`: check a configuration and everything it points to."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seraser_core.cli.arguments import ConfigArgument, JsonOption, SetOption
from seraser_core.cli.console import print_json, print_text, say_next, this_command
from seraser_core.cli.execute import watching

if TYPE_CHECKING:
    from seraser_core.cli.progress import RunDisplay
    from seraser_core.config import RunConfig
    from seraser_core.runner.plan import Prepared
    from seraser_core.sources.check_files import FileFaults

_NOT_CHECKED = (
    "not checked: the model and its weights, whether prompts fit into its context, and methods "
    "against it. No run directory is made, for its name depends on the weights"
)


def plan(
    config: ConfigArgument,
    set_: SetOption = None,
    check_files: Annotated[
        bool,
        typer.Option(
            "--check-files",
            help="Read the header of every image and mask; exit code 1 when some cannot be used.",
        ),
    ] = False,
    no_model: Annotated[
        bool,
        typer.Option("--no-model", help="Check all but the model; makes no run directory."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Check CONFIG, list its data set and make the run directory, without computing anything.

    Shows an image of every class and group, by which to see that labels and names go together. Of
    a series, makes the night's run, and prints the runs that are to be computed.
    """
    from seraser_core.config import load_config
    from seraser_core.engines import open_engine
    from seraser_core.results.summary import unfinished_runs
    from seraser_core.runner.foregrounds import check_foregrounds
    from seraser_core.runner.plan import complete, prepare_run
    from seraser_core.sources.examples import examples, hidden

    loaded = load_config(config, set_ or [])
    files, run_url, todo = None, None, []
    with watching() as display, open_engine(loaded) as engine:
        prepared = prepare_run(loaded, display.say, not no_model, this_command())
        shown = examples(prepared.planned)
        for line in (*shown, *hidden(prepared.planned)):
            display.say(str(line))
        if check_files:
            files = _check_files(prepared, display)
        if no_model:
            check_foregrounds(prepared.config, prepared.planned.table, display.say)
            display.say(_NOT_CHECKED)
        else:
            run_url = engine.call(complete, prepared, display.say)
            todo = [run_url] if loaded.series is None else unfinished_runs(run_url)
            _warn(run_url, loaded, display)
    if json:
        document = _document(prepared, run_url, todo)
        document["examples"] = [dataclasses.asdict(one) for one in shown]
        if files is not None:
            document["files"] = dataclasses.asdict(files)
        print_json(document)
    else:
        for url in todo:
            print_text(url)
    if files is not None and files.faults:
        raise typer.Exit(1)
    if not json:
        changes = [word for text in set_ or [] for word in ("--set", text)]
        say_next("plan" if no_model else "run", config, *changes)


def _warn(run_url: str, config: RunConfig, display: RunDisplay) -> None:
    from seraser_core.results.series import described_run
    from seraser_core.runner.precision import slow_elsewhere

    run = described_run(run_url)
    planned = run.fingerprint_inputs.document()["precision"]
    if told := slow_elsewhere(config.model, planned, str(run.device["type"])):
        display.say(f"WARNING: {told}")


def _check_files(prepared: Prepared, display: RunDisplay) -> FileFaults:
    from seraser_core.sources.check_files import check_files

    items = prepared.planned.table
    display.checking(items.num_rows)
    files = check_files(items, prepared.config.dataset, display.advance)
    for line in files.lines():
        display.say(line)
    return files


def _document(prepared: Prepared, run_url: str | None, todo: list[str]) -> dict[str, Any]:
    from seraser_core.results.shards import RunDirectory

    if run_url is not None and prepared.config.series is not None:
        return {"series": run_url, "runs": todo, "images": prepared.planned.table.num_rows}
    directory = None if run_url is None else RunDirectory(run_url)
    return {
        "run": run_url,
        "run_id": None if directory is None else directory.run.run_id,
        "images": prepared.planned.table.num_rows,
        "shards": len(prepared.planned.shards),
        "done": 0 if directory is None else len(directory.commits()),
    }
