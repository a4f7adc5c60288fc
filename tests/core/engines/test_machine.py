"""Shards computed in processes of their own on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cloudpickle
import dask
import psutil
import pytest
import yaml
from listeners import check_loopback, listening
from sabotage import Counter, Kill, files

from seraser_core.config import load_config
from seraser_core.engines import open_engine
from seraser_core.errors import SeraserError
from seraser_core.results.shards import RunDirectory
from seraser_core.results.verify import verify
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import tests
TWO = ["execution.engine=processes", "execution.workers=2", "shard.max_items=2"]


@pytest.fixture
def here(tree, tmp_path):
    """The run in threads."""
    url = plan_run(load_config(tree, ["shard.max_items=2", f"output={tmp_path / 'here'}"]))
    run_local(url)
    return url


@pytest.fixture(scope="module")
def engine():
    """Two processes, one of which may die over a shard."""
    data = {"path": "any.csv", "classes": ["a camel", "a deer"]}
    tree = {"dataset": data, "model": {"device": "cpu"}}
    # Dask gives up a worker whose successor takes longer: here, any.
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "0 s"}),
        open_engine(load_config(tree, [*TWO, "execution.lost_workers=1"])) as engine,
    ):
        yield engine


def test_processes_give_the_rows_of_threads(tree, here, tmp_path, engine):
    config = load_config(tree, ["shard.max_items=2", f"output={tmp_path / 'there'}"])
    progress, lines = Counter(), []
    url = plan_run(config, lines.append, engine)
    run_local(url, progress, engine=engine)
    assert Path(url).name == Path(here).name
    assert files(url) == files(here)
    assert progress.images == 14
    commits = RunDirectory(url).commits().values()
    assert len({commit.process for commit in commits}) == 2
    assert len([c for c in commits if c.timings.load_s]) == 2, "one model per process"
    assert any("RANDOM WEIGHTS" in line for line in lines)
    assert verify(url).problems == []


def test_its_processes_listen_on_this_machine_only(engine):
    """Scheduler and client are in this process; workers and their keepers, too, have servers."""
    engine.start()
    found = listening(os.getpid())
    assert len(found) >= 5, "a scheduler, and two workers with a keeper each"
    check_loopback(found)


def test_a_worker_that_is_killed_costs_what_it_was_at(tree, here, tmp_path, engine):
    config = load_config(tree, ["shard.max_items=2", f"output={tmp_path / 'there'}"])
    progress = Counter()
    url = plan_run(config, engine=engine)
    kill = Kill("00003", tmp_path / "killed")
    run_local(url, progress, compute=kill, engine=engine)
    assert (tmp_path / "killed").exists()
    assert files(url) == files(here)
    assert progress.images == 14
    assert RunDirectory(url).files("failures") == {}
    commits = RunDirectory(url).commits().values()
    assert len({commit.process for commit in commits}) <= 3
    assert verify(url).problems == []


@pytest.mark.slow
def test_a_shard_that_kills_every_worker_fails_by_name_and_all_others_are_done(
    tree, tmp_path, engine
):
    config = load_config(tree, ["shard.max_items=2", f"output={tmp_path / 'there'}"])
    url = plan_run(config, engine=engine)
    with pytest.raises(SeraserError, match=r"1 of 7 .*00003: .*its worker died 2 times"):
        run_local(url, compute=Kill("00003"), engine=engine)
    assert sorted(RunDirectory(url).commits()) == [f"{i:05}" for i in range(7) if i != 3]


class Interrupted:
    """Progress that a person interrupts after some images."""

    def advance(self, images):
        if images:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_an_interruption_ends_all_shards_after_their_batch(tree, tmp_path, caplog, capfd):
    one = ["execution.engine=processes", "execution.workers=1", "shard.max_items=2"]
    config = load_config(tree, [*one, f"output={tmp_path / 'there'}"])
    with open_engine(config) as engine:
        assert engine.slots(1) == 2, "two shards at once"
        url = plan_run(config, engine=engine)
        with pytest.raises(KeyboardInterrupt):
            run_local(url, Interrupted(), engine=engine)
        assert "failed" not in caplog.text
        assert RunDirectory(url).files("failures") == {}, "none is taken for one that died"
        run_local(url, engine=open_engine(load_config(tree)))
    assert verify(url).problems == []
    assert " - INFO - " not in capfd.readouterr().err, "Dask tells of what goes wrong alone"


class Device:
    """Work that tells the device of its process, and waits for that of all others."""

    def __init__(self, folder, processes):
        self.folder, self.processes = folder, processes

    def __call__(self, run_url, shard_id, progress, attempt):
        mine = self.folder / str(os.getpid())
        mine.touch()
        deadline = time.monotonic() + 60
        while len(list(self.folder.iterdir())) < self.processes and time.monotonic() < deadline:
            time.sleep(0.05)  # no other way leads from one worker to another
        return os.environ["CUDA_VISIBLE_DEVICES"]


def test_every_process_has_one_device_in_their_order(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-abc,7")
    config = load_config(tree, ["execution.engine=processes", "model.device=auto"])
    (tmp_path / "pids").mkdir()
    with open_engine(config) as engine, ThreadPoolExecutor(6) as pool:
        assert engine.slots(1) == 6
        work = Device(tmp_path / "pids", 3)
        given = [pool.submit(engine.compute, "", str(i), Counter(), 1, work) for i in range(6)]
        devices = [one.result() for one in given]
    assert sorted(devices) == ["5", "5", "7", "7", "GPU-abc", "GPU-abc"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5, GPU-abc,7"


_DRIVER = """
import sys
from seraser_core.config import load_config
from seraser_core.engines import open_engine
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run

if __name__ == "__main__":
    config = load_config(sys.argv[1], sys.argv[2:])
    with open_engine(config) as engine:
        url = plan_run(config, engine=engine)
        print(url, flush=True)
        run_local(url, engine=engine)
"""


@pytest.mark.slow
def test_workers_end_with_their_driver(tree, tmp_path):
    config, script = tmp_path / "small.yaml", tmp_path / "driver.py"
    config.write_text(yaml.safe_dump(tree))
    script.write_text(_DRIVER)
    command = [sys.executable, str(script), str(config), *TWO]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout.readline()
        workers = psutil.Process(driver.pid).children(recursive=True)
        driver.kill()
    assert len(workers) >= 2
    alive = psutil.wait_procs(workers, timeout=5)[1]
    assert alive == []
