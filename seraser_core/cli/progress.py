"""The progress of a run: a bar with images/s, time left and bottleneck; in a log, lines."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from seraser_core.display import duration
from seraser_core.results.timings import bound_by
from seraser_core.waiting import printed

if TYPE_CHECKING:
    from seraser_core.results.records import Timings


_SAY_EVERY_S = 30.0


class _Speed(ProgressColumn):
    """Images per second over the last half minute."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if speed is None or speed <= 0:  # a restarted shard takes its images back
            return Text("")
        return Text(f"{speed:,.1f} images/s")


class RunDisplay:
    """Shows a run; the threads that compute shards report to it.

    Args:
        console: Console to print on.

    Attributes:
        computes: Whether images are being computed.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._names: dict[str, str] = {}
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            # On a narrow terminal only the bar shrinks.
            BarColumn(bar_width=None, table_column=Column(max_width=40)),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            _Speed(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[bound]}", markup=False),
            console=console,
            speed_estimate_period=30,
            disable=not console.is_terminal,
        )
        self._bound = ""
        self.computes = False
        self._task: TaskID | None = None
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._said = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._bar.stop()
            self._say_progress(0.0)

    def stop(self) -> None:
        """Stop the shards that are being computed after their current batch."""
        self._stopped.set()

    def say(self, text: str) -> None:
        """Print a line above the bar.

        Raises:
            KeyboardInterrupt: In the main thread, as of `advance`, in case that a library has
                kept the first one to itself.
        """
        if self._stopped.is_set() and threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        self._console.print(text)
        printed()

    def name(self, run_url: str, what: str) -> None:
        """Call the bar of a run `what`, where there are several."""
        self._names[run_url] = what

    def finished(self, run_url: str, total: int) -> None:
        """Report a run or series of `total` images that was complete before."""
        self.say(f"run directory {run_url}")
        self.say(f"{total:,} of {total:,} images are done already")

    def planned(self, run_url: str, done: int, total: int) -> None:
        """Start the bar of a run with `done` images computed."""
        self.say(f"run directory {run_url}")
        if done:
            self.say(f"{done:,} of {total:,} images are done already")
        with self._lock:
            self._seconds.clear()
            self._bound = ""
        self._begin(self._names.get(run_url, "images"), total, done)
        self.computes = True

    def checking(self, total: int) -> None:
        """Start the bar for checking `total` files."""
        self._begin("files checked", total)

    def _begin(self, what: str, total: int, done: int = 0) -> None:
        self._bar.start()  # not before there is something to show
        self._task = self._bar.add_task(what, total=total, completed=done, bound="")

    def advance(self, images: int) -> None:
        """Move the bar.

        Raises:
            KeyboardInterrupt: The person at the terminal wants to stop.
        """
        if self._stopped.is_set():
            raise KeyboardInterrupt
        if self._task is not None:
            self._bar.advance(self._task, images)
            self._say_progress(_SAY_EVERY_S)

    def committed(self, timings: Timings) -> None:
        """Show the bottleneck of the run, by the seconds of the shards committed so far."""
        with self._lock:
            for name, value in timings.seconds().items():
                self._seconds[name] += value
            self._bound = f"bound by {bound_by(self._seconds)}"
        if self._task is not None:
            self._bar.update(self._task, bound=self._bound)
            self._say_progress(_SAY_EVERY_S)

    def _say_progress(self, after_s: float) -> None:
        """Print how far the run is where no bar moves, as in the log of a job.

        Args:
            after_s: Seconds that must have passed since the last line.
        """
        if self._console.is_terminal:
            return
        with self._lock:
            if time.monotonic() - self._said < after_s:
                return
            self._said = time.monotonic()
        task = next(task for task in self._bar.tasks if task.id == self._task)
        left = task.time_remaining
        parts = [f"{task.completed:,.0f} of {task.total:,.0f} {task.description}"]
        parts += [f"{task.speed:,.1f} images/s"] if task.speed and task.speed > 0 else []
        parts += [f"about {duration(left)} left"] if left else []
        parts += [self._bound] if self._bound else []
        self._console.print(f"{datetime.now().astimezone():%H:%M:%S} {', '.join(parts)}")
