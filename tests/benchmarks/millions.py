"""Ten million images through everything but a model: seconds and memory of every step of a run.

Rows are made of random logits; the plan, the engine's processes, commits, report and reading are
real. From the folder of the project:

    uv run python tests/benchmarks/millions.py --images 10000000 --folder /tmp/millions
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import psutil

LOOK_EVERY_S = 0.1
CLASSES = ["a landbird", "a waterbird"]
ATTRIBUTES = ["land", "water"]


@dataclass
class RandomRows:
    """Work of an engine: a shard whose scores are random, and all else as `run_shard` does it."""

    def __call__(self, run_url: str, shard_id: str, progress: Any, attempt: int) -> Any:
        import numpy as np

        from seraser_core.results.counting import shard_sums
        from seraser_core.results.outcomes import reduce_scores
        from seraser_core.results.picture_sums import PictureSums
        from seraser_core.results.records import Computed, Timings
        from seraser_core.results.rows import build_table
        from seraser_core.results.shards import opened
        from seraser_core.results.states import Done
        from seraser_core.runner.attempt import Attempt
        from seraser_core.runner.scoring import _PROCESS
        from seraser_core.runner.shard import recorded

        began, directory = time.time(), opened(run_url)
        run, state = directory.run, directory.state(shard_id)
        if isinstance(state, Done):
            return state.commit
        with recorded(directory, shard_id, Attempt(attempt)):
            items = directory.items_to_read(shard_id, state)
            labels = items["label"].to_pylist()
            mark = time.perf_counter()
            rng = np.random.default_rng(int(shard_id))
            zero_shot = rng.normal(0, 2, (len(labels), len(run.classes))).astype(np.float32)
            of_method = {
                method: zero_shot + rng.normal(0, place, zero_shot.shape).astype(np.float32)
                for place, method in enumerate(run.method_ids)
            }
            model_s = time.perf_counter() - mark
            progress.advance(len(labels))
            outcomes = [
                reduce_scores(method, logits, zero_shot, labels)
                for method, logits in of_method.items()
            ]
            done = items["item_index"].to_numpy()
            rows = build_table(run, items, done, outcomes, {})
            sums = shard_sums(rows, outcomes)
            seconds = dict.fromkeys([n for n in Timings.model_fields if n.endswith("_s")], 0.0)
            wall_s = time.perf_counter() - mark
            seconds |= {"wall_s": wall_s, "model_s": model_s, "rows_s": wall_s - model_s}
            computed = Computed(
                images=len(labels),
                methods=sums,
                pictures=PictureSums(images=len(labels)),
                timings=Timings(
                    images=len(labels),
                    **seconds,
                    methods=dict.fromkeys(run.method_ids, 0.0),
                    views=dict.fromkeys(run.method_ids, 0.0),
                    batch_size=len(labels),
                    parallel_shards=1,
                    device={"type": "cpu", "name": "none", "host": platform.node()},
                ),
                host=platform.node(),
                process=_PROCESS,
                started=began,
            )
            return directory.write_shard(shard_id, rows, computed, state)


def plan(tree: dict[str, Any]) -> None:
    """Plan the run."""
    from seraser_core.config import load_config
    from seraser_core.runner.plan import plan_run

    print(plan_run(load_config(tree)))


def shards(tree: dict[str, Any]) -> None:
    """Compute all shards, in processes of this machine."""
    from seraser_core.config import load_config
    from seraser_core.engines import open_engine
    from seraser_core.runner.missing_shards import run_local

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import it
    with open_engine(load_config(tree)) as engine:
        run_local(_run_of(tree), compute=RandomRows(), engine=engine)


def report(tree: dict[str, Any]) -> None:
    """Merge the sums and write the report."""
    from seraser_core.results.summary import aggregate

    aggregate(_run_of(tree))


def command(name: str, tree: dict[str, Any]) -> None:
    """Run a command of ``seraser`` on the run, or on the folder of runs."""
    from seraser_core.cli.main import app

    what = tree["output"] if name == "runs" else _run_of(tree)
    app([name, what])


def groups(tree: dict[str, Any]) -> None:
    """Summarise the rows by method and group with Polars."""
    import polars as pl

    rows = pl.scan_parquet(f"{tree['output']}/*/predictions/*.parquet")
    start = time.perf_counter()
    found = rows.group_by("method", "group").agg(pl.len(), pl.col("correct").mean()).collect()
    print(f"the query alone: {time.perf_counter() - start:.2f} s, {int(found['len'].sum()):,} rows")


STEPS: dict[str, Callable[[dict[str, Any]], None]] = {
    "plan": plan,
    "shards": shards,
    "report": report,
    "status": partial(command, "status"),
    "verify": partial(command, "verify"),
    "runs": partial(command, "runs"),
    "polars": groups,
}


def _run_of(tree: dict[str, Any]) -> str:
    return str(next(Path(tree["output"]).glob("*/run.json")).parent)


def config(folder: Path, methods: int, workers: int) -> dict[str, Any]:
    """Options of the run."""
    from seraser_core.demo.config import MODEL_JSON, WEIGHTS

    return {
        "name": "millions",
        "dataset": {
            "path": str(folder / "images.parquet"),
            "image": "image",
            "label": "label",
            "attribute": "attribute",
            "classes": CLASSES,
            "attributes": ATTRIBUTES,
        },
        "model": {"name": str(MODEL_JSON), "pretrained": str(WEIGHTS), "device": "cpu"},
        "methods": ["zero_shot", "tpt", "vte"][:methods],
        "output": str(folder / "runs"),
        "shard": {"max_items": 4096},
        "execution": {"engine": "processes", "workers": workers},
    }


def write_table(path: Path, images: int) -> None:
    """Write the data set's table."""
    import polars as pl

    number = pl.int_range(images)
    pl.select(
        image=pl.format("images/part-{}/{}.jpg", number // 5000, number),
        label=number % 2,
        attribute=number // 2 % 2,
    ).write_parquet(path)


@dataclass
class Measured:
    """Measured step.

    Attributes:
        wall_s: Seconds by the clock.
        cpu_s: Seconds of processors, of the process and its children.
        gib: The most memory that they had together.
        output: What it printed.
    """

    wall_s: float
    cpu_s: float
    gib: float
    output: str


def measured(step: str, tree: dict[str, Any]) -> Measured:
    """Take a step in a process of its own, and measure it with its children."""
    start = time.perf_counter()
    command = [sys.executable, __file__, "--step", step, "--tree", json.dumps(tree)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    looked = _Look(psutil.Process(child.pid))
    output = child.communicate()[0]
    looked.end()
    if child.returncode:
        raise SystemExit(f"{step} ended with {child.returncode}: {output}")
    return Measured(time.perf_counter() - start, looked.cpu_s, looked.bytes / 2**30, output)


class _Look:
    """Looks at a process and its children until they end.

    Memory that they share is counted once for each.
    """

    def __init__(self, process: psutil.Process) -> None:
        self._process, self._ended = process, threading.Event()
        self._seconds: dict[int, float] = {}
        self.bytes = 0
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            together = 0
            try:
                family = [self._process, *self._process.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            for one in family:
                try:
                    with one.oneshot():
                        together += one.memory_info().rss
                        times = one.cpu_times()
                        self._seconds[one.pid] = times.user + times.system
                except psutil.NoSuchProcess:
                    continue
            self.bytes = max(self.bytes, together)

    @property
    def cpu_s(self) -> float:
        """Seconds of processors so far."""
        return sum(self._seconds.values())

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()


def measure(images: int, folder: Path, methods: int = 2, workers: int = 2) -> dict[str, Measured]:
    """Take all steps, and print what each took.

    Args:
        images: Number of images.
        folder: For the table and the run.
        methods: Number of methods, a row of every image each.
        workers: Number of processes that compute shards.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tree = config(folder, methods, workers)
    write_table(folder / "images.parquet", images)
    found = {}
    for step in STEPS:
        one = found[step] = measured(step, tree)
        numbers = f"{one.wall_s:7.1f} s {one.cpu_s:7.1f} s of processors {one.gib:6.2f} GiB"
        print(f"{step:8}{numbers}  {' '.join(one.output.split())[:150]}", flush=True)
    print(f"{'all':8}{sum(one.wall_s for one in found.values()):7.1f} s", flush=True)
    return found


def main() -> None:
    """Measure, or take one step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000_000)
    parser.add_argument("--methods", type=int, default=2, choices=(1, 2, 3))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="kept; else a temporary one")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--tree", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        STEPS[options.step](options.tree)
        return
    folder = options.folder or Path(tempfile.mkdtemp(prefix="millions-"))
    try:
        measure(options.images, folder, options.methods, options.workers)
    finally:
        if options.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
