"""Running a configuration from the command line, under Prefect or without it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer

from seraser_core.cli.children import ending_signals
from seraser_core.cli.console import errors
from seraser_core.cli.progress import RunDisplay
from seraser_core.cli.server import answers, temporary_server
from seraser_core.errors import SeraserError

QUIET_PREFECT = {
    "PREFECT_LOGGING_LEVEL": "CRITICAL",  # faults reach the terminal as one message, at the end
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}
"""Prefect's own settings for one run of a command; what the environment says is kept."""


def execute(config: str | dict[str, Any], overrides: list[str], no_prefect: bool) -> str:
    """Run a configuration to its end, with a progress bar.

    Args:
        config: Path or URL of a YAML file, or the configuration itself.
        overrides: ``a.b=value`` texts.
        no_prefect: Compute the shards in this process, without Prefect.

    Returns:
        URL of the run directory.

    Raises:
        ConfigError: The configuration cannot be used; nothing was started.
        SeraserError: Shards failed.
        typer.Exit: It was interrupted.
    """
    from seraser_core.config import load_config

    loaded = load_config(config, overrides)  # before a server is started for nothing
    display = RunDisplay(errors)
    with _interruptible(display), display:
        if no_prefect:
            return _without_prefect(loaded, display)
        return _with_prefect(config, overrides, display)


def _without_prefect(config: Any, display: RunDisplay) -> str:
    from seraser_core.results.run_directory import RunDirectory
    from seraser_core.results.summary import aggregate
    from seraser_core.runner.local import run_local
    from seraser_core.runner.plan import plan_run

    run_url = plan_run(config, display.say)
    directory = RunDirectory(run_url)
    missing, total = directory.missing(), sum(map(len, directory.shards()))
    display.planned(run_url, total - sum(map(len, missing)), total)
    run_local(run_url, display, shards=missing, committed=display.committed)
    aggregate(run_url)
    return run_url


def _with_prefect(config: str | dict[str, Any], overrides: list[str], display: RunDisplay) -> str:
    for name, value in QUIET_PREFECT.items():
        os.environ.setdefault(name, value)
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with _server(PREFECT_API_URL.value(), display) as ready:
        from flows.seraser import seraser  # meanwhile, the server starts
        from tasks.observer import observe

        with temporary_settings({PREFECT_API_URL: ready()}), observe(display):
            return seraser(config=config, overrides=overrides)


@contextmanager
def _server(url: str | None, display: RunDisplay) -> Iterator[Callable[[], str]]:
    """The Prefect server at `url`, or a temporary one.

    Yields:
        Waits until the server answers, and returns the URL of its API.

    Raises:
        SeraserError: None answers.
    """
    if url is None:
        display.say("starting a temporary Prefect server")
        with temporary_server() as ready:
            yield ready
        return
    if not answers(url):
        raise SeraserError(
            f"no Prefect server answers at {url}; start it (seraser up), unset PREFECT_API_URL, "
            "or use --no-prefect"
        )
    yield lambda: url


@contextmanager
def _interruptible(display: RunDisplay) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP end the run after the batch it is at."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        received.append(number)
        display.stop()
        raise KeyboardInterrupt

    before = {n: signal.signal(n, interrupt) for n in ending_signals()}
    try:
        yield
    except KeyboardInterrupt:
        errors.print("interrupted; the same command computes what is missing")
        raise typer.Exit(128 + (received or [signal.SIGINT])[0]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
