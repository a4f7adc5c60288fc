"""Prefect commands as children of this process, and their clean end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import seraser_core
from seraser_core.cli import tied
from seraser_core.errors import SeraserError

ROOT = Path(seraser_core.__file__).resolve().parents[1]
"""The folder that holds flows/, tasks/ and deployments/."""
_TAIL = 2000


def ending_signals() -> list[signal.Signals]:
    """Return the signals that end this process, which then ends its children.

    Without SIGHUP under nohup, which asks to stay when the terminal closes.
    """
    stays = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if stays else [signal.SIGHUP])]


class Children:
    """Prefect commands, each in its own session, so that Ctrl-C does not reach them.

    They end with this process, even if it is killed.

    Args:
        environment: Environment of the commands.
        logs: Folder for their output.
    """

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self.environment, self.logs = environment, logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._end_s: dict[str, float] = {}

    def start(self, name: str, *arguments: str, end_s: float) -> None:
        """Start ``prefect <arguments>``, with its output in ``<name>.log``.

        Args:
            name: Name of the process.
            arguments: Arguments of the command.
            end_s: Seconds that it is given to end by itself.
        """
        self._end_s[name] = end_s
        with (self.logs / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", tied.__name__, str(end_s), *arguments],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,  # whose end they notice
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, *arguments: str) -> None:
        """Run ``prefect <arguments>`` to its end.

        Raises:
            SeraserError: It failed.
        """
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        with (self.logs / "deploy.log").open("a") as log:
            log.write(f"$ prefect {' '.join(arguments)}\n{done.stdout}{done.stderr}\n")
        if done.returncode:
            tail = (done.stdout + done.stderr).strip()[-_TAIL:]
            raise SeraserError(f"`prefect {' '.join(arguments)}` failed:\n{tail}")

    def check(self) -> None:
        """Check that all of them are running.

        Raises:
            SeraserError: One has ended; the message has the end of its log.
        """
        for name, child in self._running.items():
            if child.poll() is not None:
                log = self.logs / f"{name}.log"
                tail = log.read_text(errors="replace").strip()[-_TAIL:]
                raise SeraserError(f"the {name} ended with {child.returncode}; {log}:\n{tail}")

    def end(self) -> None:
        """End all of them, the last one first."""
        while self._running:
            name, child = self._running.popitem()
            try:
                if child.poll() is None:
                    child.send_signal(signal.SIGINT)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.wait(self._end_s[name])
            finally:  # also when a second Ctrl-C disturbs the wait
                with contextlib.suppress(ProcessLookupError):  # and what the child left behind
                    os.killpg(child.pid, signal.SIGKILL)
                child.communicate()
