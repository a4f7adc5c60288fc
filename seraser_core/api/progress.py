"""Progress of a call: a line in a terminal or a notebook, and its end on an interruption."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from seraser_core.display import count, duration

_AFTER_S, _EVERY_S = 2.0, 0.5
"""Short calls show nothing; then the line changes so often."""


class Watch:
    """Told of the images that are done, see `seraser_core.engines.base.Progress`.

    Args:
        total: Number of all images.
        shown: Whether to show it; None for where somebody looks: a notebook or a terminal.
    """

    def __init__(self, total: int, shown: bool | None) -> None:
        self._total, self._done = total, 0
        self._stopped = threading.Event()
        in_notebook = _in_notebook()
        self._shown = (in_notebook or sys.stderr.isatty()) if shown is None else shown
        self._line: _Line = _Cell() if in_notebook else _Line()
        self._began = self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._stopped.set()  # or the thread that computes would go on
        self._line.clear()

    def advance(self, images: int) -> None:
        """`images` more images are done.

        Raises:
            KeyboardInterrupt: The call was interrupted.
        """
        if self._stopped.is_set():
            raise KeyboardInterrupt
        self._done += images
        now = time.monotonic()
        if self._shown and now - self._began >= _AFTER_S and now - self._last >= _EVERY_S:
            self._last = now
            rest = (self._total - self._done) * (now - self._began) / max(1, self._done)
            of_all = f"{self._done:,} of {count(self._total, 'image')}"
            self._line.show(f"{of_all}, about {duration(rest)} left")


class _Line:
    """A line of standard error that is written over."""

    def __init__(self) -> None:
        self._width = 0

    def show(self, text: str) -> None:
        """Show a text in place of the last one."""
        sys.stderr.write(f"\r{text:<{self._width}}")
        sys.stderr.flush()
        self._width = len(text)

    def clear(self) -> None:
        """Show nothing any more."""
        if self._width:
            self.show("")
            sys.stderr.write("\r")


class _Cell(_Line):
    """A line of the output of a notebook's cell."""

    def __init__(self) -> None:
        super().__init__()
        self._handle: Any = None

    def show(self, text: str) -> None:
        """See `_Line.show`; a notebook that cannot show it is no reason to fail."""
        display: Any = sys.modules["IPython.display"].display
        with suppress(Exception):
            if self._handle is None:
                self._handle = display({"text/plain": text}, raw=True, display_id=True)
            else:
                self._handle.update({"text/plain": text}, raw=True)

    def clear(self) -> None:
        """See `_Line.clear`."""
        if self._handle is not None:
            self.show("")


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")
