"""Runs on Slurm: the array of deployments/slurm, and a Dask cluster of its jobs."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import yaml
from listeners import check_loopback, listening

from seraser_core.config import load_config
from seraser_core.engines import open_engine
from seraser_core.results.shards import RunDirectory
from seraser_core.results.summary import is_finished
from seraser_core.results.verify import verify
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run

pytestmark = pytest.mark.slurm
ROOT = Path(__file__).parents[2]
SCRIPT = "deployments/slurm/run.sbatch"
MANY = ["shard.max_items=1", "runtime.batch_size=1"]
LONG_S = 400


@pytest.fixture
def submit(slurm, tree, tmp_path, monkeypatch):
    """Plans a run as the script says and submits an array of two; returns its directory and job."""
    monkeypatch.chdir(ROOT)

    def plan_and_submit(steps, *options):
        tree["methods"][1]["steps"] = steps
        (tmp_path / "small.yaml").write_text(yaml.safe_dump(tree))
        sets = [f"--set={one}" for one in (*MANY, f"output={tmp_path / 'there'}")]
        plan = "uv", "run", "--no-sync", "seraser", "plan", str(tmp_path / "small.yaml"), *sets
        url = slurm("srun", "--gpus=1", *plan).strip()
        options += f"--output={tmp_path}/%a.log", f"--export=ALL,RUN={url}"
        return url, slurm("sbatch", "--parsable", "--array=0-1", *options, SCRIPT).strip()

    return plan_and_submit


def check_complete(url, tree, tmp_path):
    """See that a run has the files of one in threads of this process."""
    here = plan_run(load_config(tree, [*MANY, f"output={tmp_path / 'here'}"]))
    run_local(here)
    assert Path(url).name == Path(here).name
    assert files(url) == files(here)
    assert verify(url).problems == []


def files(url):
    return {path.name: path.read_bytes() for path in Path(url, "predictions").iterdir()}


def workers(url):
    """Processes that compute a run."""
    found = psutil.process_iter(["name", "cmdline"])
    words = {one: one.info["cmdline"] or [] for one in found if one.info["name"] != "uv"}
    return [one for one, line in words.items() if "work" in line and url in line]


def test_it_listens_on_this_machine_only(slurm):
    check_loopback([place for pid in slurm.daemons for place in listening(pid)])


def test_an_array_goes_on_when_a_worker_is_killed_and_reports_at_the_end(
    slurm, submit, tree, tmp_path
):
    url, job = submit(200)
    command = f"uv run --no-sync seraser report {url}"
    last = slurm(
        "sbatch",
        "--parsable",
        f"--dependency=afterany:{job}",
        f"--output={tmp_path}/report.log",
        f"--wrap={command}",
    ).strip()
    slurm.wait_for(lambda: len(RunDirectory(url).files("commits")) >= 2, "commits", LONG_S)
    victim = workers(url)[0]
    victim.kill()
    tasks = slurm.wait_for_end(job, LONG_S)
    assert {number: task.state for number, task in tasks.items()} == {
        "0": "COMPLETED",
        "1": "COMPLETED",
    }
    assert sorted(task.restarts for task in tasks.values()) == [0, 1]
    assert sum("ended with 137; queued again" in log for log in logs(tmp_path)) == 1
    assert slurm.wait_for_end(last, LONG_S)[""].state == "COMPLETED"
    assert is_finished(url)
    assert "zero_shot" in (tmp_path / "report.log").read_text()
    check_complete(url, tree, tmp_path)


def logs(tmp_path):
    return [(tmp_path / f"{number}.log").read_text() for number in (0, 1)]


def test_an_array_goes_on_after_its_time_limit(slurm, submit, tree, tmp_path):
    url, job = submit(3000, "--time=0:02:00", "--signal=B:TERM@80")
    tasks = slurm.wait_for_end(job, LONG_S)
    assert {task.state for task in tasks.values()} == {"COMPLETED"}
    assert all(task.restarts for task in tasks.values())
    for log in logs(tmp_path):
        assert "ended with 143; queued again" in log
        assert "TIME LIMIT" not in log
    assert is_finished(url)
    check_complete(url, tree, tmp_path)


def test_an_array_that_is_cancelled_stays_so(slurm, submit):
    url, job = submit(1000)
    slurm.wait_for(lambda: RunDirectory(url).files("commits"), "commits", LONG_S)
    slurm("scancel", job)
    tasks = slurm.wait_for_end(job, LONG_S)
    assert {task.state for task in tasks.values()} == {"CANCELLED"}
    slurm.wait_for(lambda: not workers(url), "end of the workers")
    assert not slurm("squeue", "-h")


def test_a_dask_cluster_of_jobs(slurm, tree, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    options = {
        "cores": 2,
        "processes": 1,
        "job_cpu": 8,
        "memory": "2GB",
        "interface": "lo",
        "job_extra_directives": ["--gpus=1"],
        "log_directory": str(tmp_path),
        "scheduler_options": {"dashboard_address": "127.0.0.1:0"},
        "worker_extra_args": ["--dashboard-address", "127.0.0.1:0"],
    }
    execution = {
        "engine": "dask",
        "cluster": "dask_jobqueue.SLURMCluster",
        "cluster_options": options,
        "workers": 2,
    }
    config = load_config(tree | {"execution": execution}, [*MANY, f"output={tmp_path / 'there'}"])
    with open_engine(config) as engine:
        url = plan_run(config, engine=engine)
        slurm.wait_for(lambda: slurm("squeue", "-h", "-o%T").split() == ["RUNNING"] * 2, "jobs")
        run_local(url, engine=engine)
    slurm.wait_for(lambda: not slurm("squeue", "-h"), "end of all jobs")
    commits = RunDirectory(url).commits().values()
    assert len({commit.process for commit in commits}) == 2
    check_complete(url, tree, tmp_path)
