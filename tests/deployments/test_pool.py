"""The template of a Kubernetes pool: the jobs that Prefect makes of it are valid and modest."""

from __future__ import annotations

import asyncio
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from kubernetes_validate import ValidationError, validate
from prefect.utilities.templating import find_placeholders
from prefect.workers.base import BaseJobConfiguration

ROOT = Path(__file__).parents[2]
POOL = ROOT / "deployments" / "kubernetes" / "pool.json"
DOCKERFILE = ROOT / "deployments" / "docker" / "Dockerfile"
PREFECTS_OWN = {"parallelism": 1, "completions": 1}
"""Fields in a wrong place, which Prefect's worker demands there and Kubernetes drops."""
SET = {
    "namespace": "vision",
    "image": "registry.example.com/seraser:1",
    "env": {"AWS_ENDPOINT_URL": "https://storage.example.com"},
    "env_from": [],
    "labels": {"kueue.x-k8s.io/queue-name": "gpu"},
    "gpus": 4,
    "cpu": "32",
    "memory": "128Gi",
    "volumes": [{"name": "cache", "persistentVolumeClaim": {"claimName": "weights"}}],
    "node_selector": {"nvidia.com/gpu.product": "NVIDIA-H200"},
    "tolerations": [{"key": "spot", "operator": "Equal", "value": "true"}],
    "service_account_name": "seraser",
    "runtime_class_name": "nvidia",
    "finished_job_ttl": 60,
    "pod_watch_timeout_seconds": 60,
    "job_watch_timeout_seconds": 86400,
    "stream_output": False,
}
OF_A_RUN = {"name": "birds", "command": "prefect flow-run execute"}


class Job(BaseJobConfiguration):
    """A job as a worker of the pool would start it, without the package of that worker."""

    namespace: str
    job_manifest: dict[str, Any]
    pod_watch_timeout_seconds: int
    job_watch_timeout_seconds: int | None = None
    stream_output: bool


@pytest.fixture
def template() -> dict[str, Any]:
    return json.loads(POOL.read_text())


def rendered(template: dict[str, Any], values: dict[str, Any]) -> tuple[Job, dict[str, Any]]:
    """A job's configuration and manifest, once the worker has put its own into the latter."""
    making = Job.from_template_and_values(template, OF_A_RUN | values, client=object())
    job = asyncio.run(making)
    manifest = deepcopy(job.job_manifest)
    pod = manifest["spec"]["template"]["spec"]
    assert {name: pod.pop(name) for name in PREFECTS_OWN} == PREFECTS_OWN
    (container,) = pod["containers"]
    container["args"] = container["args"].split()
    container["env"] = [{"name": name, "value": text} for name, text in container["env"].items()]
    return job, manifest


@pytest.mark.parametrize("values", [{}, SET], ids=["default", "set"])
def test_a_job_of_it_is_valid(template, values):
    _, manifest = rendered(template, values)
    assert find_placeholders(manifest) == set()
    validate(manifest, "1.37", strict=True)


def test_every_variable_is_used_and_can_be_set(template):
    properties = template["variables"]["properties"]
    assert {found.name for found in find_placeholders(template["job_configuration"])} == set(
        properties
    )
    assert SET.keys() | OF_A_RUN.keys() == properties.keys()
    assert all(one["description"] for one in properties.values())
    job, manifest = rendered(template, SET)
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == {"memory": "128Gi", "nvidia.com/gpu": 4}
    assert container["envFrom"] == []
    assert pod["volumes"] == SET["volumes"]
    assert pod["nodeSelector"] == SET["node_selector"]
    assert pod["runtimeClassName"] == "nvidia"
    assert manifest["metadata"]["labels"] == SET["labels"]
    assert (job.namespace, job.job_watch_timeout_seconds, job.stream_output) == (
        "vision",
        86400,
        False,
    )


def test_a_job_is_as_modest_as_it_can_be(template):
    _, manifest = rendered(template, {})
    spec = manifest["spec"]
    assert spec["backoffLimit"] == 0  # or Kubernetes would run a flow again beside Prefect
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["securityContext"]["runAsNonRoot"]
    assert f"USER {pod['securityContext']['runAsUser']}\n" in DOCKERFILE.read_text()
    assert not pod["automountServiceAccountToken"]
    (container,) = pod["containers"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["envFrom"] == [{"secretRef": {"name": "seraser-storage"}}]
    assert {"name": "cache", "mountPath": "/cache"} in container["volumeMounts"]
    assert "SERASER_CACHE=/cache " in DOCKERFILE.read_text()
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"


def test_its_command_is_not_given_to_the_command_of_the_image(template):
    """The image starts `seraser`, to which Prefect's command would be arguments."""
    _, manifest = rendered(template, {})
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    assert 'ENTRYPOINT ["seraser"]' in DOCKERFILE.read_text()
    assert container["command"] == ["/usr/bin/env"]
    assert container["args"] == OF_A_RUN["command"].split()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "backoffLimit"), "none"),
        (("spec", "template", "spec", "tolerance"), "{{ tolerations }}"),
        (("spec", "template", "spec", "volumes"), "{{ labels }}"),
    ],
)
def test_a_mistake_in_it_is_found(template, path, value):
    *parents, last = path
    place = template["job_configuration"]["job_manifest"]
    for name in parents:
        place = place[name]
    place[last] = value
    with pytest.raises(ValidationError):
        validate(rendered(template, {})[1], "1.37", strict=True)
