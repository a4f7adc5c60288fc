"""Entry point of the command `seraser`, which may be ended during the second of its imports."""

from __future__ import annotations

import os
import signal

_INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Run the command; SIGINT ends it quietly at once, until the command has its own handler."""
    # Not where it is ignored, as in the background of a script.
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    from seraser_core.cli.main import app  # what takes the time

    app()


def _end(*_: object) -> None:
    """End the process, which has nothing to clean up yet.

    Without an exception: in the middle of an import, a library may take it for another.
    """
    os.write(2, b"interrupted\n")
    os._exit(_INTERRUPTED)
