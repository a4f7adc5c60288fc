"""Starting workers, pausing and killing them, and seeing what they left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from seraser_core import storage
from seraser_core.config import load_config
from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import commits_of, failures_of
from seraser_core.results.verify import verify
from seraser_core.runner.plan import plan_run

Tree = dict[str, Any]
KILLED = -signal.SIGKILL


def all_but_slow(steps: list[str], *often: str) -> list[Any]:
    """`steps`, of which those beside `often` are run with ``-m slow`` alone."""
    return [step if step in often else pytest.param(step, marks=pytest.mark.slow) for step in steps]


class Workers:
    """A fork server of real workers; see worker.py.

    Args:
        folder: For what they print.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._server.pid, signal.SIGKILL)  # with workers that a failed test forgot
        self._server.wait()

    def load(self, model: dict[str, Any]) -> None:
        """Load a model once for all workers that are started from now on."""
        self._ask({"load": model})

    def start(self, tree: Tree, *traps: dict[str, Any], **job: Any) -> int:
        """Begin to run a configuration; returns the process id.

        Args:
            tree: The configuration.
            traps: Arguments of `worker.Trap`.
            job: More for `worker.work`.
        """
        job |= {"tree": tree, "traps": traps, "environment": dict(os.environ)}
        return int(self._ask({"start": {**job, "logs": str(self._folder)}}))

    def pause(self, tree: Tree, step: str, nth: int = 1, **job: Any) -> int:
        """Start a worker and see it stop at a step; returns the process id."""
        pid = self.start(tree, {"step": step, "nth": nth, "number": signal.SIGSTOP}, **job)
        assert self.wait(pid) is None, self.printed(pid)
        return pid

    def wait(self, pid: int) -> int | None:
        """The exit code of a worker, negative for a signal; None when it was stopped."""
        status = int(self._ask({"wait": pid}))
        return None if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)

    def go_on(self, *pids: int) -> None:
        """Let stopped workers go on, and see that they come to a good end."""
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        for pid in pids:
            assert self.wait(pid) == 0, self.printed(pid)

    def run(self, tree: Tree, *traps: dict[str, Any], **job: Any) -> int | None:
        """Start a worker and wait for it."""
        return self.wait(self.start(tree, *traps, **job))

    def finish(self, tree: Tree, **job: Any) -> None:
        """Run a configuration with a worker to which nothing happens."""
        pid = self.start(tree, **job)
        assert self.wait(pid) == 0, self.printed(pid)

    def printed(self, pid: int) -> str:
        """What a worker that ended or was stopped has printed."""
        return (self._folder / f"{pid}.log").read_text()

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())


@dataclass(frozen=True)
class Undisturbed:
    """What a run to which nothing happened wrote.

    Attributes:
        run_id: The name of its folder, which does not depend on where that is.
        predictions: Shard -> bytes of its Parquet file.
        sums: Shard -> sums of its methods.
        rows: Of all shards.
        steps: Step -> how often a worker came to it.
        seconds: That a worker took, the report included.
        masks: Name -> bytes of the masks that it saved.
    """

    run_id: str
    predictions: dict[str, bytes]
    sums: dict[str, Any]
    rows: int
    steps: dict[str, int]
    seconds: float
    masks: dict[str, bytes]

    @classmethod
    def of(cls, workers: Workers, tree: Tree, folder: Path) -> Self:
        """Run `tree` in `folder`."""
        tree = {**tree, "output": str(folder)}
        workers.load(tree["model"])
        counts = folder.with_suffix(".json")
        workers.finish(tree, report=True, counts=str(counts))
        began = time.perf_counter()
        workers.finish({**tree, "output": str(folder / "again")}, report=True)
        seconds = time.perf_counter() - began
        directory = RunDirectory(plan_run(load_config(tree)))
        report = verify(directory.url)
        assert report.problems == []
        assert report.rows == report.images * len(directory.run.methods)
        names = [shard.id for shard in directory.shards()]
        return cls(
            run_id=directory.run.run_id,
            predictions={name: _predictions(directory, name) for name in names},
            sums={name: commit.methods for name, commit in directory.commits().items()},
            rows=report.rows,
            steps=json.loads(counts.read_text()),
            seconds=seconds,
            masks=_masks(directory),
        )

    def directory(self, tree: Tree) -> RunDirectory:
        """That of the same run somewhere else."""
        return RunDirectory(storage.join(tree["output"], self.run_id))

    def check_finished(self, tree: Tree, but_for_the_report: bool = False) -> None:
        """See that the run of `tree` is whole and the same."""
        directory = self.directory(tree)
        report = verify(directory.url)
        problems = [str(problem) for problem in report.problems]
        assert [p for p in problems if not (but_for_the_report and p.startswith("report/"))] == []
        assert report.rows == self.rows
        assert self.check_committed(tree) == list(self.predictions)
        assert failures_of(directory.states()) == {}
        assert _masks(directory) == self.masks

    def check_committed(self, tree: Tree) -> list[str]:
        """See that what is committed is the same, at any moment of the run of `tree`.

        And that any Parquet file is whole, for ``predictions/*.parquet`` is read by its name.

        Returns:
            The names of the committed shards.
        """
        directory = self.directory(tree)
        if not storage.exists(directory.path("run.json")):
            return []
        states = directory.states(deep=True)
        commits = commits_of(states)
        published = [
            name.removesuffix(".parquet")
            for name in storage.list_files(directory.path("predictions"))
        ]
        assert {*published} <= {*commits} <= {*self.predictions}
        for name in published:
            assert _predictions(directory, name) == self.predictions[name]
        for name, commit in commits.items():
            rows = storage.read_bytes(directory.path(states[name].file))
            assert rows == self.predictions[name]
            assert commit.methods == self.sums[name]
        return list(commits)


def _predictions(directory: RunDirectory, shard: str) -> bytes:
    return storage.read_bytes(directory.predictions_path(shard))


def _masks(directory: RunDirectory) -> dict[str, bytes]:
    folder = directory.path("masks")
    return {
        name: storage.read_bytes(storage.join(folder, name)) for name in storage.find_files(folder)
    }
