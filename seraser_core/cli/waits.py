"""Messages that say what a command is waiting for."""

from __future__ import annotations

import threading
import time

from rich.console import Console
from rich.status import Status
from rich.text import Text

_QUIET_S = 2.0
"""Seconds of silence after which a message is printed where there is no terminal."""


class Waits:
    """Shows waits: a spinner on a terminal, else a line once it takes a while.

    Args:
        console: Console to print on.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._spinner: Status | None = None
        self._timer: threading.Timer | None = None
        self._what: str | None = None
        self._said: str | None = None
        self._quiet_since = time.monotonic()

    def printed(self) -> None:
        """Note that something was printed."""
        self._quiet_since = time.monotonic()

    def waits(self, what: str | None) -> None:
        """Show the current wait; None when it is over."""
        with self._lock:
            self._what = what
            if self._console.is_terminal:
                self._spin(what)
            elif what is not None and self._timer is None:
                self._begin(_QUIET_S)
            elif what is None and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _spin(self, what: str | None) -> None:
        if what is None:
            if self._spinner is not None:
                self._spinner.stop()
            self._spinner = None
        elif self._spinner is None:
            self._spinner = self._console.status(Text(what))
            self._spinner.start()
        else:
            self._spinner.update(Text(what))

    def _begin(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._look)
        self._timer.daemon = True
        self._timer.start()

    def _look(self) -> None:
        with self._lock:
            left = self._quiet_since + _QUIET_S - time.monotonic()
            if self._what is None or self._timer is None:
                return
            if left <= 0 and self._what != self._said:
                self._said = self._what
                self._console.print(f"{self._what} ...")
                self._quiet_since = time.monotonic()
            self._begin(max(left, 0.5))
