"""Entry point of the command `seraser`, which may be ended during the second of its imports."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress

_INCOMPLETE = 120
"""Python's own exit code where the end of the output cannot be written."""
_INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Run the command; SIGINT ends it quietly at once, until the command has its own handler."""
    # Not where it is ignored, as in the background of a script.
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    codes: list[int] = []
    if not atexit._ncallbacks():  # the first one is called last; any before it would be left out
        atexit.register(_leave, codes)
    from seraser_core.cli.main import app  # what takes the time

    try:
        app()
    except SystemExit as end:
        if isinstance(end.code, int):
            codes.append(end.code)
        raise


def _leave(codes: list[int]) -> None:
    """End the process with the command's exit code, when all other functions have been called.

    Python would spend another second on removing all that torch's import made.
    """
    if not codes:
        return
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except OSError as error:
        with suppress(OSError):
            os.write(2, f"the output is incomplete: {error}\n".encode())
        os._exit(_INCOMPLETE)
    os._exit(codes[0])


def _end(*_: object) -> None:
    """End the process, which has nothing to clean up yet.

    Without an exception: in the middle of an import, a library may take it for another.
    """
    os.write(2, b"interrupted\n")
    os._exit(_INTERRUPTED)
