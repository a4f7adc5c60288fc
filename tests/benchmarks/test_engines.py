"""Shards in processes of this machine: what a second one is worth, and what the way there costs."""

from __future__ import annotations

import sys
import time
from statistics import mean

import cloudpickle
import pytest
import torch
from floors import FLOORS

from seraser_core.config import load_config
from seraser_core.demo.config import demo_config
from seraser_core.demo.dataset import write_dataset
from seraser_core.engines import open_engine
from seraser_core.results.shards import RunDirectory
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run

pytestmark = pytest.mark.benchmark
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import tests
DELAY_S = 0.03
TURNS = 3
FLOOR = FLOORS["engines"]


class Slots:
    """An engine that is handed so many shards at once, whatever it asks for."""

    def __init__(self, engine, slots):
        self._engine, self._slots = engine, slots

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def slots(self, parallel_shards):
        return self._slots


class Late:
    """Work whose files take 30 ms longer."""

    def __call__(self, run_url, shard_id, progress, attempt):
        from seraser_core.runner.shard import run_shard
        from seraser_core.sources import fetch as fetching

        fetch = getattr(fetching, "prompt_fetch", fetching.fetch)

        def late(*arguments, **options):
            time.sleep(DELAY_S)  # the distance that is measured, no wait for something
            return fetch(*arguments, **options)

        fetching.prompt_fetch, fetching.fetch = fetch, late
        return run_shard(run_url, shard_id, progress, attempt)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the demo on an engine; returns the seconds of its shards, and its run directory.

    Every process has one thread for the model.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    table = write_dataset(tmp_path / "data")

    def run(engine, steps, items, work=None):
        tree = demo_config(str(table), str(tmp_path / f"runs-{time.time_ns()}"))
        tree["methods"] = ["zero_shot", {"name": "seraser", "steps": steps}]
        tree["shard"] = {"max_items": items}
        url = plan_run(load_config(tree), engine=engine)
        start = time.perf_counter()
        run_local(url, compute=work, engine=engine)
        return time.perf_counter() - start, RunDirectory(url)

    yield run
    torch.set_num_threads(threads)


def engine_of(table, processes):
    """An engine of so many processes, or of threads with none."""
    chosen = {"engine": "processes", "workers": processes} if processes else {"engine": "threads"}
    return open_engine(load_config(demo_config(table, "runs") | {"execution": chosen}))


@pytest.fixture
def engines(tmp_path, run):
    """Engines by the number of their processes, all of them ready."""
    opened = {}

    def get(processes):
        if processes not in opened:
            opened[processes] = engine_of(str(tmp_path / "data" / "metadata.csv"), processes)
            run(opened[processes], 1, 200)  # warm
        return opened[processes]

    yield get
    for engine in opened.values():
        engine.close()


def test_two_processes_compute_nearly_twice_as_much_as_one(run, engines):
    one, two = [], []
    for _ in range(TURNS):  # in turns: how fast the machine is changes from minute to minute
        for processes, seconds in ((1, one), (2, two)):
            took, directory = run(engines(processes), 300, 40)
            seconds.append(took)
    model = mean(commit.timings.model_s for commit in directory.commits().values())
    print(f"shards of {model:.1f} s: one process {one}, two {two}")
    assert min(one) >= FLOOR["two_workers"] * min(two)


def test_the_way_to_a_process_costs_little(run, engines):
    seconds = {n: min(run(engines(n), 1, 1)[0] for _ in range(TURNS)) for n in (0, 1)}
    shards = len(run(engines(0), 1, 1)[1].shards())
    cost = 1000 * (seconds[1] - seconds[0]) / shards
    print(
        f"{shards} shards: threads {seconds[0]:.1f} s, a process {seconds[1]:.1f} s: {cost:.1f} ms"
    )
    assert cost <= FLOOR["shard_ms"]


def test_the_next_shard_is_made_ready_in_a_process(run, engines):
    engine = engines(1)
    seconds = {
        n: min(run(Slots(engine, n), 2, 40, Late())[0] for _ in range(TURNS)) for n in (1, 2)
    }
    print(
        f"one shard after the other {seconds[1]:.1f} s, the next one made ready {seconds[2]:.1f} s"
    )
    assert seconds[1] >= FLOOR["next_shard"] * seconds[2]
