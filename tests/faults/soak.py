"""Killing workers at random, many in sequence on one run until it is whole, and then on the next.

What happens is drawn from the seed alone; when it happens to whom depends on the machine as well.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import KILLED, Tree, Undisturbed, Workers

_AT_A_STEP, _TWO_AT_ONCE = 0.6, 0.2
"""Chances; what is not killed at a step is killed at some moment."""
_LOCAL = ("opened", "unrenamed")
_HALVES = [f"{kind} half sent" for kind in ("plan", "attempts", "commits", "report")]


@dataclass
class Soak:
    """A sequence of runs whose workers are killed.

    Attributes:
        workers: Starts them.
        tree: The configuration.
        undisturbed: What it leads to.
        outputs: Folders or URLs to run in; one of them is drawn for every run.
        seed: Of all that is drawn.
        at: Step or ``some moment`` -> kills there.
        runs: Runs that were completed.
        ends: Workers that came to a good end.
        shards: Committed shards that were compared, after every kill.
        leftover: Temporary files in completed runs.
    """

    workers: Workers
    tree: Tree
    undisturbed: Undisturbed
    outputs: Sequence[str]
    seed: int
    at: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    ends: int = 0
    shards: int = 0
    leftover: int = 0
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @property
    def kills(self) -> int:
        """So far."""
        return self.at.total()

    def kill(self, least: int) -> None:
        """Kill workers until it were at least so many and the last run is whole."""
        while self.kills < least:
            self._run()

    def figures(self) -> dict[str, Any]:
        """What happened so far."""
        return {
            "seed": self.seed,
            "kills": self.kills,
            "at": dict(self.at.most_common()),
            "steps": len(self.at),
            "runs": self.runs,
            "images_x_methods_per_run": self.undisturbed.rows,
            "workers": self.kills + self.ends,
            "committed_shards_compared_after_kills": self.shards,
            "temporary_files_left": self.leftover,
            "seconds": round(time.monotonic() - self._began, 1),
        }

    def _run(self) -> None:
        tree = {**self.tree, "output": f"{self._random.choice(self.outputs)}/{self.runs}"}
        codes: list[int | None] = []
        while 0 not in codes:
            several = 2 if self._random.random() < _TWO_AT_ONCE else 1
            codes = [self._end(one) for one in [self._begin(tree) for _ in range(several)]]
            self.shards += len(self.undisturbed.check_committed(tree))
        # Of two, the one that was killed may have been at the report.
        self.undisturbed.check_finished(tree, but_for_the_report=len(codes) > 1)
        self.workers.finish(tree, report=True)
        self.undisturbed.check_finished(tree)
        self.runs += 1
        if "://" not in tree["output"]:
            self.leftover += len(list(Path(tree["output"]).rglob("*.tmp")))

    def _begin(self, tree: Tree) -> tuple[int, str, threading.Timer | None]:
        """Start a worker that will be killed, if it does not end before."""
        if self._random.random() < _AT_A_STEP:
            step = self._random.choice(self._steps(tree["output"]))
            nth = self._random.randint(1, self.undisturbed.steps.get(step, 3))
            return self.workers.start(tree, {"step": step, "nth": nth}, report=True), step, None
        moment = self._random.uniform(0, self.undisturbed.seconds)
        pid = self.workers.start(tree, report=True)
        timer = threading.Timer(moment, os.kill, (pid, signal.SIGKILL))
        timer.start()
        return pid, "some moment", timer

    def _end(self, worker: tuple[int, str, threading.Timer | None]) -> int | None:
        pid, where, timer = worker
        code = self.workers.wait(pid)
        if timer:
            timer.cancel()
        assert code in (0, KILLED), self.workers.printed(pid)
        if code == KILLED:
            self.at[where] += 1
        else:
            self.ends += 1
        return code

    def _steps(self, output: str) -> list[str]:
        steps = sorted(self.undisturbed.steps)
        if "://" not in output:
            return steps
        return [step for step in steps if not step.endswith(_LOCAL)] + _HALVES
