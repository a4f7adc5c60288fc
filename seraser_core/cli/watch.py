"""`seraser status --watch`: a run that is looked at until it is finished."""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.text import Text

from seraser_core.cli.console import make_table, print_json, results
from seraser_core.cli.interrupts import interruptible
from seraser_core.cli.status_lines import (
    WORKER_COLUMNS,
    progress_line,
    worker_rows,
    workers_title,
)
from seraser_core.display import printable
from seraser_core.errors import ConfigError, TransientError
from seraser_core.waiting import waiting

if TYPE_CHECKING:
    from seraser_core.results.watched import Seen

_WIDEST_BAR = 60


def watch_run(url: str, every_s: float, json: bool) -> dict[str, Any]:
    """Show a run again and again, until all its shards are done or a person ends it.

    On a terminal one picture is renewed; elsewhere, each change is a line.

    Args:
        url: The run directory.
        every_s: Seconds from one look to the next.
        json: Print a document for scripts at each look.

    Returns:
        The last of these documents.

    Raises:
        ConfigError: It is no single run.
    """
    from seraser_core.results.comparison import is_comparison
    from seraser_core.results.nights import is_series
    from seraser_core.results.watched import WatchedRun

    if is_comparison(url) or is_series(url):
        raise ConfigError("--watch", url, "is of several runs; watch one of them")
    run = WatchedRun(url)
    with waiting("reading the run"):
        seen = run.look()
    shown = _Lines() if json or not results.is_terminal else _Picture()
    with interruptible() as interruptions, shown:
        interruptions.is_meant = True
        with suppress(KeyboardInterrupt):
            while True:
                if json:
                    print_json(seen.status)
                else:
                    shown.show(seen)
                if seen.status["finished"]:
                    break
                time.sleep(every_s)
                with suppress(TransientError):  # the next look may succeed
                    seen = run.look()
    return seen.status


class _Lines(nullcontext[None]):
    """A line for every change."""

    def __init__(self) -> None:
        super().__init__()
        self._before = ""

    def show(self, seen: Seen) -> None:
        """Print how far the run is, unless that is as it was."""
        line = progress_line(seen.status)
        if line != self._before:
            results.print(f"{datetime.now().astimezone():%H:%M:%S} {line}")
        self._before = line


class _Picture(Live):
    """A picture that is renewed in its place; the last one stays."""

    def __init__(self) -> None:
        super().__init__(console=results, auto_refresh=False)

    def show(self, seen: Seen) -> None:
        """Show the run as it is now."""
        self.update(picture(seen), refresh=True)


def picture(seen: Seen) -> Group:
    """Return progress, figures of the methods so far and workers of a run."""
    from seraser_core.results.columns import METHODS, Shown, shown_in

    status, images = seen.status, seen.status["images"]
    parts: list[object] = [
        Text(printable(f"{status['run_id']}  {status['run']}")),
        Padding(ProgressBar(images["total"], images["done"], width=_WIDEST_BAR), 0),
        Text(progress_line(status)),
    ]
    parts += [Text(printable(f"shard {name}: {why}")) for name, why in _few(status["failures"])]
    if seen.tables["summary"].height:
        rows = seen.tables["summary"].to_dicts()
        parts += [Text(), make_table("so far", shown_in(Shown.SUMMARY, METHODS), rows)]
    if rows := worker_rows(status, time.time()):
        parts.append(make_table(workers_title(status), WORKER_COLUMNS, rows))
    return Group(*parts)  # type: ignore[arg-type]


def _few(failures: dict[str, str]) -> list[tuple[str, str]]:
    return list(failures.items())[:5]
