"""A fork server of real workers, each of which runs a configuration to its end unless it is killed.

``python worker.py`` imports all that a worker needs, once, and then does what its lines of JSON on
standard input say: ``{"load": model}`` loads the model that later workers have, ``{"start": job}``
forks a worker and answers its process id, ``{"wait": pid}`` answers the wait status with which it
ended or was stopped. What a worker prints is in the file PID.log of the folder that its job names.

A worker listens to the steps of a shard's life (`seraser_core.steps`) and wraps the functions that
write, and at the n-th time that it comes to a step, it sends itself a signal.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import resource
import signal
import socket
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import matplotlib.figure  # noqa: F401 - or every worker that writes a report would import it
import numpy.ma  # noqa: F401

from seraser_core import steps
from seraser_core.config import load_config
from seraser_core.config.options import ModelOptions
from seraser_core.errors import SeraserError
from seraser_core.models.clip_model import get_model
from seraser_core.results.nights import is_series
from seraser_core.results.summary import aggregate
from seraser_core.runner import missing_shards
from seraser_core.runner.plan import plan_run
from seraser_core.runner.retry import Retry
from seraser_core.runner.series import finish_runs

Reach = Callable[[str], None]
_FOLDERS = ("plan", "attempts", "commits", "predictions", "failures", "report", "series")


def announce_steps(reach: Reach) -> None:
    """Have `reach` called with the name of every step that this process comes to.

    Those of `seraser_core.steps.reached`; of a file, ``before KIND``, ``after KIND``, ``KIND
    opened`` and so on, where the kind is the name of its folder, or its own directly in the run's;
    and in object storage ``KIND half sent``.
    """
    steps.listeners.append(lambda step, url: reach(_of_a_kind(step, url)))
    _tell_half_sent(reach)


def _kind(url: str) -> str:
    path = PurePosixPath(url)
    if "masks" in path.parts:  # it has folders in it
        return "masks"
    return path.parent.name if path.parent.name in _FOLDERS else path.name


def _of_a_kind(step: str, url: str | None) -> str:
    if url is None:
        return step
    kind = _kind(url)
    return f"{step} {kind}" if step in ("before", "after") else f"{kind} {step}"


def _tell_half_sent(reach: Reach) -> None:
    """Send the body of every put in two halves, and tell of the time between."""
    kinds: dict[int, str] = {}

    def send(self: socket.socket, data: Any, *flags: int) -> int:
        view = memoryview(data).cast("B")
        start = 0
        if bytes(view[:4]) == b"PUT ":
            head = bytes(view[:8192])
            kinds[self.fileno()] = _kind(head.split(b" ", 2)[1].decode())
            start = head.index(b"\r\n\r\n") + 4
        if start == len(view) or self.fileno() not in kinds:
            return whole(self, data, *flags)
        kind = kinds.pop(self.fileno())
        sent = whole(self, view[: start + (len(view) - start + 1) // 2], *flags)
        reach(f"{kind} half sent")
        return sent

    whole = socket.socket.send
    socket.socket.send = send  # type: ignore[method-assign]
    if hasattr(socket.socket, "sendmsg"):  # what asyncio prefers since Python 3.12

        def sendmsg(self: socket.socket, buffers: Any, *more: Any) -> int:
            return send(self, b"".join(buffers))

        socket.socket.sendmsg = sendmsg  # type: ignore[method-assign]


class Trap:
    """Sends this process a signal at the n-th time that it comes to a step.

    Args:
        step: Name of the step; see `announce_steps`.
        nth: From 1.
        number: Of the signal.
    """

    def __init__(self, step: str, nth: int = 1, number: int = signal.SIGKILL) -> None:
        self._step, self._left, self._number = step, nth, number
        self._lock = threading.Lock()

    def __call__(self, step: str) -> None:
        if step != self._step:
            return
        with self._lock:
            self._left -= 1
            if not self._left:
                # A signal to the process would be taken by any thread, some time later.
                signal.pthread_kill(threading.get_ident(), self._number)


class Counts:
    """Counts the steps, and writes their numbers to a file."""

    def __init__(self, path: str) -> None:
        self._path, self._counts, self._lock = path, Counter[str](), threading.Lock()

    def __call__(self, step: str) -> None:
        with self._lock:
            self._counts[step] += 1

    def write(self) -> None:
        """Write them as JSON."""
        Path(self._path).write_text(json.dumps(self._counts))


def work(job: dict[str, Any]) -> int:
    """Run the configuration of `job`, as ``seraser run`` does it; returns the exit code.

    With ``retry`` in `job`, compute the failed images of its run again, as ``seraser retry-errors``
    does it. With ``run``, plan nothing: it is the URL of the run.
    """
    os.environ.clear()
    os.environ.update(job["environment"])
    if most := job.get("file_bytes"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    for trap in job.get("traps") or []:
        announce_steps(Trap(**trap))
    if path := job.get("counts"):
        counts = Counts(path)
        announce_steps(counts)
    try:
        run_url = job.get("run") or plan_run(load_config(job["tree"]))
        if job.get("retry"):
            again = Retry()
            missing_shards.run_local(run_url, shards=list(again.shards(run_url)), compute=again)
        elif is_series(run_url):
            finish_runs(run_url, missing_shards.run_local)
        else:
            missing_shards.run_local(run_url)
        if job.get("report"):
            aggregate(run_url)
    except SeraserError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if job.get("counts"):
        counts.write()
    return 0


def start(job: dict[str, Any]) -> int:
    """Fork a worker; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 3
    try:
        name = f"{job['logs']}/{os.getpid()}.log"
        with open(name, "wb") as log, open(os.devnull, "rb") as nothing:  # noqa: PTH123
            for stream, target in ((nothing, 0), (log, 1), (log, 2)):
                os.dup2(stream.fileno(), target)
        logging.basicConfig(stream=sys.stderr)
        code = work(job)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def serve() -> None:
    """Answer until standard input ends."""
    gc.freeze()  # or every worker's collector would look at, and so copy, all that is imported
    for line in sys.stdin:
        request = json.loads(line)
        if "load" in request:
            answer = get_model(ModelOptions(**request["load"])).weights_hash
            gc.freeze()
        elif "start" in request:
            answer = start(request["start"])
        else:
            answer = os.waitpid(request["wait"], os.WUNTRACED)[1]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
