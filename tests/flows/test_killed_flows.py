"""Flows that are killed, under a worker and with all of Prefect: the next run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import yaml

from seraser_core import storage
from seraser_core.results.verify import verify

pytestmark = pytest.mark.slow
RUN = ("deployment", "run", "seraser/batch-eval")
_WAIT_S = 150


@pytest.fixture
def slow_config(request, tree, tmp_path) -> str:
    """Config of seven shards of a second or so each; a test may give other steps."""
    steps = getattr(request, "param", 150)
    tree["methods"] = ["zero_shot", {"name": "seraser", "steps": steps}]
    tree["shard"] = {"max_items": 2}
    path = tmp_path / "slow.yaml"
    path.write_text(yaml.safe_dump(tree))
    return str(path)


def wait_for_commits(output: str, wanted: int) -> dict[str, bytes]:
    """Wait for some commits in a run below `output`; returns its path -> bytes by then."""
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        found = [name for name in storage.find_files(output) if "/commits/" in name]
        if len(found) >= wanted:
            return {name: storage.read_bytes(f"{output}/{name}") for name in found}
        time.sleep(0.1)  # between two looks at the folder, until there is what is waited for
    pytest.fail(f"no {wanted} shards were committed in {_WAIT_S} s")


def flow_process(worker_of: psutil.Process) -> psutil.Process:
    """The process of the flow that runs below a process."""
    (found,) = [
        child for child in worker_of.children(recursive=True) if "prefect.engine" in child.cmdline()
    ]
    return found


def kill_all_of_it(up) -> None:
    processes = [p := psutil.Process(up.process.pid), *p.children(recursive=True)]
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs(processes, timeout=30)


def check_kept(output: str, before: dict[str, bytes]) -> None:
    """The run is whole, and what was committed before the kill was not computed again."""
    for name, data in before.items():
        assert storage.read_bytes(f"{output}/{name}") == data
    (run,) = {name.partition("/")[0] for name in before}
    report = verify(f"{output}/{run}")
    assert report.problems == []
    assert (report.done, report.rows) == (7, 28)


def test_a_flow_that_is_killed_under_its_worker(up, slow_config, tree):
    started = up.prefect(*RUN, "--param", f"config={slow_config}")
    assert started.returncode == 0, started.stderr
    wait_for_commits(tree["output"], 2)
    flow_process(psutil.Process(up.process.pid)).kill()
    before = wait_for_commits(tree["output"], 2)
    assert len(before) < 7
    done = up.prefect(*RUN, "--watch", "--param", f"config={slow_config}")
    assert done.returncode == 0, done.stdout + done.stderr
    check_kept(tree["output"], before)


def test_a_machine_that_dies_with_all_of_prefect(s3, start_up, slow_config, tree, tmp_path):
    """What ran then must not hold the place of the runs that come."""
    one = start_up(tmp_path / "home")
    started = one.prefect(*RUN, "--param", f"config={slow_config}")
    assert started.returncode == 0, started.stderr
    wait_for_commits(tree["output"], 2)
    kill_all_of_it(one)
    before = wait_for_commits(tree["output"], 2)
    assert len(before) < 7
    other = start_up(tmp_path / "home")
    done = other.prefect(*RUN, "--watch", "--param", f"config={slow_config}")
    assert done.returncode == 0, done.stdout + done.stderr
    check_kept(tree["output"], before)


@pytest.fixture
def other_worker(tmp_path):
    """Starts another worker of the pool of a `seraser up`, which tells the server often."""
    started = []

    def start(up) -> subprocess.Popen[bytes]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "prefect", "worker", "start", "--pool", "seraser"],
                env={
                    **up.environment,
                    "PREFECT_WORKER_HEARTBEAT_SECONDS": "1",
                    "PREFECT_WORKER_QUERY_SECONDS": "1",
                },
                cwd=tmp_path,
                stdout=(tmp_path / "worker.log").open("wb"),
                stderr=subprocess.STDOUT,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.mark.parametrize("slow_config", [3000], indirect=True)
def test_a_run_of_another_worker_goes_on_when_all_else_dies(
    s3, start_up, other_worker, slow_config, tree, tmp_path
):
    """Its worker and its process live on while the server is away, and its run is not ended."""
    one = start_up(tmp_path / "home")
    (own,) = [p for p in psutil.Process(one.process.pid).children() if "worker" in p.cmdline()]
    own.suspend()
    other = other_worker(one)
    started = one.prefect(*RUN, "--param", f"config={slow_config}")
    assert started.returncode == 0, started.stderr
    wait_for_commits(tree["output"], 1)
    flow = flow_process(psutil.Process(other.pid))
    kill_all_of_it(one)
    again = start_up(tmp_path / "home", one.port)
    again.wait_for_line("under way, of another worker")
    flow.wait(_WAIT_S)
    before = wait_for_commits(tree["output"], 7)
    check_kept(tree["output"], before)
    listed = again.prefect("flow-run", "ls").stdout.upper()
    assert "COMPLETED" in listed
    assert "CRASHED" not in listed
