"""Interrupting a command with SIGINT, SIGTERM or SIGHUP."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

import typer

from seraser_core.cli.children import ending_signals
from seraser_core.cli.console import errors

if TYPE_CHECKING:
    from seraser_core.cli.progress import RunDisplay

_SHOW_CURSOR = "\x1b[?25h"
_current: Interruptions | None = None


@contextmanager
def interruptible() -> Iterator[Interruptions]:
    """End the block cleanly at the first signal, at once at the second; nested blocks are one.

    The first one is answered at once and makes a KeyboardInterrupt in the main thread, as soon as
    that runs Python. The second one ends the process and all its children: commits are written
    whole or not at all, so nothing is damaged.

    Raises:
        typer.Exit: It was interrupted, whatever a library made of that.
    """
    global _current
    if _current is not None or threading.current_thread() is not threading.main_thread():
        yield _current or Interruptions()
        return
    _current = Interruptions()
    try:
        with _current:
            yield _current
    except BaseException:
        if not _current.received or _current.is_meant:
            raise
    finally:
        ended, _current = _current, None
    if ended.received and not ended.is_meant:
        text = "interrupted"
        if ended.resumes:
            text += "; the same command computes what is missing"
        errors.print(text)
        raise typer.Exit(128 + ended.received[0])


class Interruptions:
    """The signals that interrupt this process.

    A thread reads them from a pipe, whatever the main thread is doing: Python's own handlers run
    only between two of its steps, and loading a model may take minutes of one.

    Attributes:
        received: Signals whose handler ran.
        resumes: Whether the same command goes on where it was ended.
        is_meant: Whether a signal is how the command is meant to end, so that nothing is said.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self.resumes = self.is_meant = False
        self._display: RunDisplay | None = None
        self._seen = 0

    def watch(self, display: RunDisplay) -> None:
        """Stop `display` too, and with it the shards that are being computed."""
        self._display, self.resumes = display, True

    def __enter__(self) -> None:
        import psutil  # not in a signal handler

        self._process = psutil.Process()
        self._pipe, writing = os.pipe()
        os.set_blocking(writing, False)
        self._writing = writing
        self._before_fd = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self._before = {n: signal.signal(n, self._on_signal) for n in ending_signals()}
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._before_fd)
        os.close(self._writing)
        self._thread.join()  # it compares handlers with ours: those stay until it has read all
        os.close(self._pipe)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self.received.append(number)
        if self._display is not None:
            self._display.stop()
        if len(self.received) == 1:
            raise KeyboardInterrupt

    def _listen(self) -> None:
        while numbers := os.read(self._pipe, 1):
            # Others have handlers of their own meanwhile, such as Prefect for SIGTERM.
            if signal.getsignal(numbers[0]) != self._on_signal:
                continue
            self._seen += 1
            if self._seen > 1:
                self._end_now(numbers[0])
            after = ""
            if self._display is not None:
                self._display.stop()
                after = " after this batch" if self._display.computes else ""
            if not self.is_meant:
                errors.print(f"ending{after}; again to end now")

    def _end_now(self, number: int) -> None:
        with suppress(Exception):
            for child in self._process.children(recursive=True):
                with suppress(Exception):  # it has ended
                    child.kill()
        text = "interrupted\n"
        if self.resumes:
            text = "interrupted; the same command computes what is missing\n"
        with suppress(Exception):
            if sys.stderr.isatty():
                text = f"{_SHOW_CURSOR}\n{text}"
            os.write(2, text.encode())  # even if another thread holds the locks of the console
        os._exit(128 + number)
