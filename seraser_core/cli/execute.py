"""Running a configuration from the command line, under Prefect or without it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from seraser_core.cli.console import errors, this_command
from seraser_core.cli.interrupts import interruptible
from seraser_core.cli.progress import RunDisplay
from seraser_core.cli.server import answers, temporary_server
from seraser_core.errors import SeraserError
from seraser_core.proxies import prepare, refuse_unusable
from seraser_core.proxy_check import check_proxy
from seraser_core.waiting import importing, waiting

if TYPE_CHECKING:
    from seraser_core.engines import Engine
    from seraser_core.runner.observers import Observer

QUIET_PREFECT = {
    "PREFECT_LOGGING_LEVEL": "CRITICAL",  # faults reach the terminal as one message, at the end
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}
"""Prefect's settings for one command, unless the environment has them."""


def execute(config: str | dict[str, Any], overrides: list[str], no_prefect: bool) -> str:
    """Complete the run of a configuration, with a progress bar.

    Args:
        config: Path or URL of a YAML file, or the configuration itself.
        overrides: ``a.b=value`` texts.
        no_prefect: Compute the shards without Prefect.

    Returns:
        URL of the run directory, or of the series.

    Raises:
        ConfigError: The configuration cannot be used; nothing was started.
        SeraserError: Shards failed.
        typer.Exit: It was interrupted.
    """
    from seraser_core.config import load_config
    from seraser_core.engines import open_engine
    from seraser_core.runner.observers import with_textfile
    from seraser_core.runner.plan import complete, find_finished, prepare_run

    loaded = load_config(config, overrides)
    with ExitStack() as stack:
        display = stack.enter_context(watching())
        observer = stack.enter_context(with_textfile(display, loaded.execution.textfile))
        engine = stack.enter_context(open_engine(loaded))
        # Report mistakes before importing torch or starting a server for nothing.
        prepared = prepare_run(loaded, display.say, command=this_command())
        finished = find_finished(prepared, display.say)
        if finished is not None:
            observer.finished(finished, prepared.planned.table.num_rows)
            return finished

        def plan() -> str:
            return engine.call(complete, prepared, display.say)

        if no_prefect:
            run_url = plan()
            _compute(run_url, observer, engine)
            return run_url
        with _flows(observer, engine, plan) as (flows, run_url):
            flows.planned(run_url)
    return run_url


def execute_planned(
    run_urls: Sequence[str], no_prefect: bool, observer: Observer, engine: Engine
) -> None:
    """Complete planned runs, one after the other; finished ones are skipped.

    One that fails does not keep the others from being computed.

    Args:
        run_urls: The run directories.
        no_prefect: Compute the shards without Prefect.
        observer: Shows them.
        engine: Where their shards are computed.

    Raises:
        SeraserError: Runs failed; the message names the fault of each.
    """
    from seraser_core.results.summary import is_finished
    from seraser_core.runner.each_run import compute_each

    with waiting("looking for what is done"):
        todo = [url for url in run_urls if not is_finished(url)]
    if not todo:
        return
    engine.start()  # before a server is started for nothing
    if no_prefect:
        compute_each(todo, lambda url: _compute(url, observer, engine))
    else:
        with _flows(observer, engine) as (flows, _):  # one server for all
            compute_each(todo, flows.planned)


@contextmanager
def watching() -> Iterator[RunDisplay]:
    """A progress bar, and a clean end on signals.

    Raises:
        typer.Exit: It was interrupted.
    """
    display = RunDisplay(errors)
    with interruptible() as interruptions:
        interruptions.watch(display)
        with display:
            yield display


def _compute(run_url: str, observer: Observer, engine: Engine) -> None:
    """Compute the missing shards of a planned run, or a series, without Prefect; merge them."""
    from seraser_core.results.nights import is_series
    from seraser_core.results.shards import RunDirectory
    from seraser_core.results.summary import aggregate
    from seraser_core.runner.missing_shards import run_local

    if is_series(run_url):
        from seraser_core.runner.series import finish_runs

        finish_runs(run_url, lambda url: _compute(url, observer, engine))
        aggregate(run_url)
        return
    directory = RunDirectory(run_url)
    with waiting("looking for what is done"):
        missing = directory.missing()
    total = sum(map(len, directory.shards()))
    observer.planned(run_url, total - sum(map(len, missing)), total)
    run_local(run_url, observer, shards=missing, committed=observer.committed, engine=engine)
    aggregate(run_url)


@contextmanager
def _flows(
    observer: Observer, engine: Engine, meanwhile: Callable[[], str] = str
) -> Iterator[tuple[ModuleType, str]]:
    """The flows, on the server that the environment names or on a temporary one.

    Args:
        observer: Told of what is waited for.
        engine: Where shards are computed.
        meanwhile: Done while the server starts.

    Yields:
        The flows, and what `meanwhile` returned.

    Raises:
        ConfigError: A proxy of the environment cannot be used.
        SeraserError: No server answers.
    """
    for name, value in QUIET_PREFECT.items():
        os.environ.setdefault(name, value)
    refuse_unusable()
    check_proxy(os.environ.get("PREFECT_API_URL", ""))  # before Prefect is waited for
    with importing("Prefect", "prefect"):
        from prefect.settings import PREFECT_API_URL, temporary_settings

    with _server(PREFECT_API_URL.value(), observer) as ready:
        done = meanwhile()
        with waiting("starting Prefect"):
            from flows import seraser as flows
            from tasks.engine import computing_on
            from tasks.observer import observe

            url = ready()
        with temporary_settings({PREFECT_API_URL: url}), observe(observer), computing_on(engine):
            yield flows, done


@contextmanager
def _server(url: str | None, observer: Observer) -> Iterator[Callable[[], str]]:
    """The Prefect server at `url`, or a temporary one.

    Yields:
        Waits until the server answers, and returns the URL of its API.

    Raises:
        ConfigError: The proxy that leads to it is not there.
        SeraserError: None answers.
    """
    if url is None:
        observer.say("starting a temporary Prefect server")
        with temporary_server() as ready:
            yield ready
        return
    prepare(url)
    check_proxy(url)
    if not answers(url):
        raise SeraserError(
            f"no Prefect server answers at {url}",
            "start it (seraser up), unset PREFECT_API_URL, or use --no-prefect",
        )
    yield lambda: url
