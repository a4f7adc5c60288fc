"""A run whose parts are flow runs of their own: they give its bytes, also when one is killed."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import parts
from flows.parts import seraser_part
from flows.seraser import seraser as seraser_flow
from seraser_core.config import load_config
from seraser_core.errors import ConfigError, SeraserError
from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import Running
from seraser_core.results.summary import is_finished
from seraser_core.results.verify import verify
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run

RUN = ("deployment", "run", "seraser/batch-eval")
IN_PARTS = ["execution.engine=deployments", "execution.deployment=seraser-part/gpu"]
_WAIT_S = 150


def test_a_part_is_a_flow(prefect_server, tree):
    url = plan_run(load_config(tree))
    RunDirectory(url).begin("00001", 1)  # another part is at it
    assert not seraser_part(url, 0, 2)
    assert sorted(RunDirectory(url).commits()) == ["00000", "00002"]
    assert seraser_part(url, 1, 2)
    assert is_finished(url)
    assert verify(url).problems == []


def test_a_deployment_that_is_not_there_is_named_and_the_run_stays_planned(prefect_server, tree):
    with pytest.raises(ConfigError, match=r"execution\.deployment: seraser-part/none"):
        seraser_flow(tree, [IN_PARTS[0], "execution.deployment=seraser-part/none"])
    (run,) = Path(tree["output"]).iterdir()
    assert len(RunDirectory(str(run)).missing()) == 3


@pytest.fixture
def slow(tree, tmp_path) -> str:
    """Config of seven shards of a second or so each."""
    tree["methods"] = ["zero_shot", {"name": "seraser", "steps": 150}]
    tree["shard"] = {"max_items": 2}
    path = tmp_path / "slow.yaml"
    path.write_text(yaml.safe_dump(tree))
    return str(path)


@pytest.fixture(scope="module")
def roomy(start_up, s3, tmp_path_factory):
    """A `seraser up` with room for a run and its parts."""
    return start_up(tmp_path_factory.mktemp("roomy"), limit=4)


def wait_for(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.1)  # between two looks
    pytest.fail("it did not happen")


def flow_runs(up, flow: str) -> list[dict[str, Any]]:
    """The flow runs of a flow, the newest first."""
    url = f"{up.exports['PREFECT_API_URL']}/flow_runs/filter"
    wanted = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC"}
    return httpx.post(url, json=wanted, trust_env=False).json()


def in_parts(config: str, *more: str) -> tuple[str, ...]:
    """Arguments of a deployment's run of `config` in two parts."""
    overrides = json.dumps([*IN_PARTS, "execution.parts=2", *more])
    return "--param", f"config={config}", "--param", f"overrides={overrides}"


def stop_at_a_shard(up, output: str, before: set[str]) -> tuple[psutil.Process, str]:
    """Stop a part at a shard that it has begun; returns its process and the shard."""

    def look() -> tuple[psutil.Process, str] | None:
        of_parts = {run["id"]: run for run in flow_runs(up, "seraser-part")}
        for process in psutil.Process(up.process.pid).children(recursive=True):
            try:
                run = of_parts.get(process.environ().get("PREFECT__FLOW_RUN_ID", ""))
                if run is None or run["id"] in before or "prefect.engine" not in process.cmdline():
                    continue
                process.suspend()
            except psutil.NoSuchProcess:
                continue
            (url,) = map(str, Path(output).iterdir())
            number, step = run["parameters"]["part"], run["parameters"]["parts"]
            directory = RunDirectory(url)
            mine = [shard.id for shard in directory.shards()[number::step]]
            for shard in mine:
                if isinstance(directory.state(shard), Running):
                    return process, shard
            process.resume()
        return None

    return wait_for(look)


def ended(up, config: str) -> dict[str, Any]:
    """The flow run that started the parts, once it has ended."""

    def look() -> dict[str, Any] | None:
        of_config = (r for r in flow_runs(up, "seraser") if r["parameters"]["config"] == config)
        run = next(of_config, None)
        return run if run and run["state_type"] in ("COMPLETED", "FAILED", "CRASHED") else None

    return wait_for(look)


@pytest.mark.slow
def test_parts_give_the_bytes_of_one_process(roomy, slow, tmp_path):
    done = roomy.prefect(*RUN, "--watch", *in_parts(slow))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [run["state_type"] for run in flow_runs(roomy, "seraser-part")] == ["COMPLETED"] * 2
    (url,) = map(str, Path(load_config(slow).output).iterdir())
    assert is_finished(url)
    assert verify(url).problems == []
    who = {commit.process for commit in RunDirectory(url).commits().values()}
    assert len(who) == 2
    alone = plan_run(load_config(slow, [f"output={tmp_path / 'alone'}"]))
    run_local(alone)
    for path in sorted(Path(alone, "predictions").iterdir()):
        assert path.read_bytes() == Path(url, "predictions", path.name).read_bytes()


@pytest.mark.slow
def test_a_part_that_is_killed_is_started_again(roomy, slow):
    before = {run["id"] for run in flow_runs(roomy, "seraser-part")}
    assert roomy.prefect(*RUN, *in_parts(slow)).returncode == 0
    process, _ = stop_at_a_shard(roomy, load_config(slow).output, before)
    process.kill()
    parent = ended(roomy, slow)
    assert parent["state_type"] == "COMPLETED", parent["state"]
    of_run = [run for run in flow_runs(roomy, "seraser-part") if run["id"] not in before]
    assert Counter(run["state_type"] for run in of_run) == {"COMPLETED": 2, "CRASHED": 1}
    (url,) = map(str, Path(load_config(slow).output).iterdir())
    assert is_finished(url)
    assert verify(url).problems == []


@pytest.mark.slow
def test_a_run_whose_part_may_not_be_started_again_fails_by_name(roomy, slow):
    before = {run["id"] for run in flow_runs(roomy, "seraser-part")}
    assert roomy.prefect(*RUN, *in_parts(slow, "execution.lost_workers=0")).returncode == 0
    process, shard = stop_at_a_shard(roomy, load_config(slow).output, before)
    process.kill()
    parent = ended(roomy, slow)
    assert parent["state_type"] == "FAILED"
    (url,) = map(str, Path(load_config(slow).output).iterdir())
    missing = [one.id for one in RunDirectory(url).missing()]
    assert shard in missing
    named = f"{len(missing)} of 7 shards failed ({', '.join(missing)})"
    assert named in parent["state"]["message"]
    run_local(url)  # the same again computes it
    assert RunDirectory(url).missing() == []


@pytest.fixture
def on_roomy(roomy, monkeypatch):
    """Has a flow of this process start its parts on the server with room, and look often."""
    monkeypatch.setattr(parts, "_LOOK_EVERY_S", 0.2)
    with temporary_settings({PREFECT_API_URL: roomy.exports["PREFECT_API_URL"]}):
        yield roomy


@pytest.mark.slow
def test_one_more_helps_where_a_part_only_seems_to_run(on_roomy, slow, monkeypatch):
    """As when its machine is gone, which Prefect does not notice."""
    monkeypatch.setattr(parts, "_SILENT_S", 10)
    before = {run["id"] for run in flow_runs(on_roomy, "seraser-part")}
    output = load_config(slow).output
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(stop_at_a_shard, on_roomy, output, before)
        url = seraser_flow(slow, [*IN_PARTS, "execution.parts=1"])
    process, _ = stopping.result()
    assert process.status() == psutil.STATUS_STOPPED
    of_run = [run for run in flow_runs(on_roomy, "seraser-part") if run["id"] not in before]
    assert Counter(run["state_type"] for run in of_run)["RUNNING"] >= 1
    process.kill()
    assert is_finished(url)
    assert verify(url).problems == []


@pytest.mark.slow
def test_parts_that_nobody_starts_are_cancelled_and_said(on_roomy, slow):
    before = {run["id"] for run in flow_runs(on_roomy, "seraser-part")}
    children = psutil.Process(on_roomy.process.pid).children()
    (worker,) = [child for child in children if "worker" in child.cmdline()]
    worker.suspend()
    try:
        with pytest.raises(SeraserError, match=r"no flow run of seraser-part/gpu has started"):
            seraser_flow(slow, [*IN_PARTS, "execution.parts=2", "execution.start_timeout=1"])
        of_run = [run for run in flow_runs(on_roomy, "seraser-part") if run["id"] not in before]
        assert [run["state_type"] for run in of_run] == ["CANCELLED"] * 2
    finally:
        worker.resume()
