"""Two hundred shards over two processes, some or all of which are killed."""

from __future__ import annotations

import csv
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil
import pytest
import yaml
from sabotage import Kill, Noted, files

from seraser_core.config import load_config
from seraser_core.engines import open_engine
from seraser_core.errors import SeraserError
from seraser_core.results.shards import RunDirectory
from seraser_core.results.verify import verify
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run

SHARDS = 200
STORM_S, EVERY_S = 120, 5
TWO = ["execution.engine=processes", "execution.workers=2"]
_SERASER = "from seraser_core.cli.main import app; app()"


@pytest.fixture
def tree(tree, pictures, tmp_path):
    """A configuration with one image in each of 200 shards."""
    shutil.copytree(pictures.parent, tmp_path / "pictures")
    rows = list(csv.DictReader(pictures.open()))
    table = tmp_path / "pictures" / "many.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows[i % len(rows)] | {"id": f"{i:03}"} for i in range(SHARDS))
    tree["dataset"]["path"] = str(table)
    return tree | {"shard": {"max_items": 1}}


@pytest.fixture
def here(tree, tmp_path):
    """Files of the run in threads."""
    url = plan_run(load_config(tree, [f"output={tmp_path / 'here'}"]))
    run_local(url)
    return files(url)


def worker_processes(driver):
    """Processes that the engine of a process starts, from their very beginning."""
    for one in psutil.Process(driver).children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "spawn_main" in " ".join(one.cmdline()):
                yield one


def check_whole(url, here):
    assert files(url) == here
    assert RunDirectory(url).files("failures") == {}
    assert verify(url).problems == []


@pytest.mark.slow
def test_a_worker_that_is_killed_in_mid_run(tree, here, tmp_path):
    config = load_config(tree, [*TWO, f"output={tmp_path / 'there'}"])
    work, killed = Noted(tmp_path / "begun"), []

    def kill_one(_timings):
        if not killed and len(work.begun()) > SHARDS // 3:
            killed.extend(work.workers()[:1])
            killed[0].kill()

    with open_engine(config) as engine:
        url = plan_run(config, engine=engine)
        run_local(url, committed=kill_one, compute=work, engine=engine)
    check_whole(url, here)
    commits = RunDirectory(url).commits().values()
    assert len({commit.process for commit in commits}) == 3
    loads = Counter(commit.process for commit in commits if commit.timings.load_s)
    assert set(loads.values()) == {1}, "one model per process"
    assert len(work.begun()) - SHARDS <= 4


@pytest.mark.slow
def test_a_shard_that_kills_every_worker_costs_no_other_one(tree, tmp_path):
    config = load_config(tree, [*TWO, f"output={tmp_path / 'there'}"])
    with open_engine(config) as engine:
        url = plan_run(config, engine=engine)
        with pytest.raises(SeraserError, match=r"1 of 200 .*00077: .*its worker died 4 times"):
            run_local(url, compute=Kill("00077"), engine=engine)
    assert sorted(RunDirectory(url).commits()) == [f"{i:05}" for i in range(SHARDS) if i != 77]


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_workers_that_are_killed_all_the_time(tree, here, tmp_path):
    """One of two every five seconds for two minutes, also while it starts or loads its model."""
    storm = f"execution.lost_workers={STORM_S // EVERY_S}"
    work, over, kills = Noted(tmp_path / "begun"), threading.Event(), []

    def kill():
        end = time.monotonic() + STORM_S
        while time.monotonic() < end and not over.wait(EVERY_S):
            with suppress(psutil.NoSuchProcess, ValueError):
                victim = random.choice([*worker_processes(os.getpid())])
                victim.kill()
                kills.append(victim.pid)

    with open_engine(load_config(tree, [*TWO, storm])) as engine, ThreadPoolExecutor(1) as pool:
        engine.start()
        killer, runs = pool.submit(kill), 0
        try:
            while not (runs and killer.done()):
                output = f"output={tmp_path / f'there{runs}'}"
                url = plan_run(load_config(tree, [output]))
                run_local(url, compute=work, engine=engine)
                check_whole(url, here)
                runs += 1
        finally:
            over.set()
    again = len(work.begun()) - runs * SHARDS
    print(f"{len(kills)} kills, {runs} runs, {again} shards begun again")
    assert len(kills) > STORM_S / EVERY_S / 2


@pytest.mark.slow
def test_a_command_that_is_killed_leaves_no_worker_and_goes_on(tree, here, tmp_path):
    output = tmp_path / "there"
    (tmp_path / "many.yaml").write_text(yaml.safe_dump(tree | {"output": str(output)}))
    sets = [f"--set={one}" for one in TWO]
    command = [sys.executable, "-c", _SERASER, "run", str(tmp_path / "many.yaml"), *sets]
    with subprocess.Popen(command) as driver:
        deadline = time.monotonic() + 200
        while len(list(output.glob("*/commits/*"))) < SHARDS // 4:
            assert driver.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)  # between two looks at the folder
        children = psutil.Process(driver.pid).children(recursive=True)
        workers = list(worker_processes(driver.pid))
        driver.kill()
    assert len(workers) == 2
    assert psutil.wait_procs(workers, timeout=5)[1] == []
    for server in psutil.wait_procs(children, timeout=0)[1]:
        server.kill()  # the temporary one of Prefect, which outlives a command that is killed
    subprocess.run(command, check=True, timeout=300)
    (url,) = map(str, output.iterdir())
    check_whole(url, here)
