"""A Prefect command that ends with the process that started it, whatever ended that one.

Run by `Children`, as ``python -m seraser_core.cli.tied SECONDS ARGUMENT...``.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time


def main() -> None:
    """Run ``prefect`` until it ends, or nobody holds the other end of standard input any more."""
    end_s = float(sys.argv.pop(1))
    given = os.dup(0), end_s
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # what Prefect starts has nothing to read
    threading.Thread(target=_end_with_parent, args=given, name="parent", daemon=True).start()
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)


def _end_with_parent(pipe: int, end_s: float) -> None:
    """End as `Children.end` does, once the parent is gone."""
    os.read(pipe, 1)  # nothing is ever written
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(end_s)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
