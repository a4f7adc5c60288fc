"""The deployment, started the way a user starts it: `seraser up`, then `prefect deployment run`."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
import s3fs
import yaml
from PIL import Image

from seraser_core import storage
from seraser_core.results import scan
from seraser_core.results.shards import RunDirectory
from seraser_core.results.verify import verify

ROOT = Path(__file__).parents[2]
CLASSES = ["a camel", "a deer"]
RUN = ("deployment", "run", "seraser/batch-eval", "--watch")


@pytest.fixture
def on_s3(bucket: str, tiny_json: str, tmp_path: Path) -> Path:
    """Config of a data set of eight pictures in a bucket, with its runs there."""
    fs, rows = s3fs.S3FileSystem(), []
    rng = np.random.default_rng(3)
    for i in range(8):
        for name, shape in ((f"picture {i}é.png", (40, 50, 3)), (f"mask{i}.png", (40, 50))):
            path = tmp_path / name
            Image.fromarray(rng.integers(0, 2, shape, dtype=np.uint8) * 255).save(path)
            fs.put(str(path), f"{bucket}/data/{name}")
        rows.append({"file": f"picture {i}é.png", "mask": f"mask{i}.png", "y": i % 2, "a": i // 4})
    storage.write_bytes(f"{bucket}/data/metadata.csv", pl.DataFrame(rows).write_csv().encode())
    config = {
        "name": "bucket",
        "dataset": {
            "path": f"{bucket}/data/metadata.csv",
            "image": "file",
            "mask": "mask",
            "label": "y",
            "attribute": "a",
            "classes": CLASSES,
        },
        "model": {"name": tiny_json, "pretrained": None, "device": "cpu"},
        "methods": ["zero_shot", {"name": "seraser", "steps": 2}],
        "shard": {"max_items": 3},
        "output": f"{bucket}/runs",
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def check_rows(output: str, secrets: list[str]) -> None:
    rows = scan(output).collect()
    assert rows.height == 8 * 2
    assert set(rows["status"]) == {"ok"}
    assert pl.scan_parquet(f"{output}/*/predictions/*.parquet").collect().height == 16
    (run,) = storage.list_folders(output)
    assert verify(storage.join(output, run)).problems == []
    for name in storage.find_files(output):
        content = storage.read_bytes(storage.join(output, name))
        assert not [s for s in secrets if s.encode() in content], name


def flow_runs(up, name: str) -> list[dict[str, Any]]:
    """The deployment's flow runs whose name begins so."""
    url = f"{up.exports['PREFECT_API_URL']}/flow_runs/filter"
    found = httpx.post(url, json={}, trust_env=False).json()
    return [run for run in found if run["deployment_id"] and run["name"].startswith(name)]


def task_runs(up, flow_run_id: str) -> list[str]:
    """Names of the tasks of a flow run."""
    url = f"{up.exports['PREFECT_API_URL']}/task_runs/filter"
    wanted = {"flow_runs": {"id": {"any_": [flow_run_id]}}}
    return [run["name"] for run in httpx.post(url, json=wanted, trust_env=False).json()]


@pytest.fixture
def secrets(s3: str) -> list[str]:
    return [os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]]


def test_run_command_on_s3(seraser, up, on_s3, bucket, secrets):
    done = seraser("run", str(on_s3), "--json", PREFECT_API_URL=up.exports["PREFECT_API_URL"])
    assert done.returncode == 0, done.stderr
    assert "temporary" not in done.stderr
    assert json.loads(done.stdout)["run"].startswith(f"{bucket}/runs/bucket-")
    check_rows(f"{bucket}/runs", secrets)


def test_run_command_names_what_only_the_flow_finds(seraser, up, on_s3, bucket):
    server = {"PREFECT_API_URL": up.exports["PREFECT_API_URL"]}
    done = seraser("run", str(on_s3), "--set", "dataset.image=pictures", **server)
    assert done.returncode == 2
    assert "dataset.image" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_deployment_on_s3(up, on_s3, bucket, secrets):
    done = up.prefect(*RUN, "--param", f"config={on_s3}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Completed" in done.stdout
    check_rows(f"{bucket}/runs", secrets)
    (directory,) = storage.list_folders(f"{bucket}/runs")
    command = RunDirectory(f"{bucket}/runs/{directory}").run.command
    assert command == f"Prefect deployment seraser/batch-eval: {on_s3}"
    (run,) = flow_runs(up, "bucket ")
    assert re.fullmatch(r"bucket \d{4}-\d\d-\d\d \d\d:\d\d", run["name"])
    assert {"seraser", "bucket", "data/metadata.csv", "tiny.json"} <= set(run["tags"])
    assert {"shard-00000", "shard-00001", "shard-00002"} < set(task_runs(up, run["id"]))


def test_deployment_completes_as_delivered_and_is_scheduled(up):
    done = up.prefect(*RUN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Completed" in done.stdout
    url = f"{up.exports['PREFECT_API_URL']}/deployments/name/seraser/batch-eval"
    (schedule,) = httpx.get(url, trust_env=False).json()["schedules"]
    assert schedule["active"]
    assert schedule["schedule"]["cron"] == "0 2 * * *"
    _wait_for_a_scheduled_run(up)


def test_the_server_takes_the_template_of_a_kubernetes_pool(up):
    template = json.loads((ROOT / "deployments" / "kubernetes" / "pool.json").read_text())
    url = f"{up.exports['PREFECT_API_URL']}/work_pools/"
    pool = {"name": "gpu", "type": "kubernetes", "base_job_template": template}
    made = httpx.post(url, json=pool, trust_env=False)
    assert made.status_code == 201, made.text
    assert made.json()["base_job_template"] == template
    template["variables"]["properties"].pop("image")
    wrong = httpx.post(url, json=pool | {"name": "other"}, trust_env=False)
    assert wrong.status_code == 422
    assert "image" in wrong.text


def _wait_for_a_scheduled_run(up):
    """The server's scheduler looks for due schedules now and then."""
    url = f"{up.environment['PREFECT_API_URL']}/flow_runs/filter"
    wanted = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        found = httpx.post(url, json=wanted, trust_env=False).json()
        if any(run["auto_scheduled"] for run in found):
            return
        time.sleep(1)
    pytest.fail("no run was scheduled; see prefect/logs/server.log")


@pytest.mark.slow
def test_a_run_that_fails_says_why(up):
    done = up.prefect(*RUN, "--param", "config=/nowhere/[b]irds.yaml")
    assert done.returncode != 0
    assert "Failed" in done.stdout, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert "config: /nowhere/[b]irds.yaml hint: there is no such file" in said, done.stdout
    assert len(flow_runs(up, "[b]irds ")) == 1
