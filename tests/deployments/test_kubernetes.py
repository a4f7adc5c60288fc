"""Manifests for Kubernetes are valid, and promise what the commands do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
import yaml
from kubernetes_validate import ValidationError, validate

from seraser_core.cli.main import BAD_CONFIG, app

ROOT = Path(__file__).parents[2]
MANIFESTS = sorted((ROOT / "deployments" / "kubernetes").glob("*.yaml"))
WORK = ROOT / "deployments" / "kubernetes" / "work.yaml"


def check(manifest: dict) -> None:
    """Hold a manifest to the schema of its kind, in which no other field is allowed."""
    validate(manifest, "1.37", strict=True)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_are_valid(path):
    documents = list(yaml.safe_load_all(path.read_text()))
    assert documents
    for document in documents:
        check(document)


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ("backoffLimitPerIndex: 6", "backOffLimitPerIndex: 6"),
        ("values: [2]", "values: [configuration]"),
        ("runAsNonRoot: true", 'runAsNonRoot: "true"'),
        ("name: work\n", "title: work\n"),
    ],
)
def test_a_mistake_in_a_manifest_is_found(line, other):
    text = WORK.read_text()
    assert line in text
    with pytest.raises(ValidationError):
        check(yaml.safe_load(text.replace(line, other)))


@pytest.fixture
def spec():
    return yaml.safe_load(WORK.read_text())["spec"]


def test_the_command_of_a_pod_takes_its_arguments(spec):
    (container,) = spec["template"]["spec"]["containers"]
    values = {one["name"]: one["value"] for one in container["env"]}
    name, *arguments = [
        re.sub(r"\$\((\w+)\)", lambda match: values[match[1]], text) for text in container["args"]
    ]
    command = typer.main.get_command(app).commands[name]
    given = command.make_context(name, arguments).params
    assert given["run"] == values["RUN"]
    assert given["part"] == "auto"
    assert given["parts"] == spec["completions"] == spec["parallelism"]


def test_only_a_configuration_that_cannot_be_used_is_not_tried_again(spec):
    """A rule that no schema has: the server refuses a policy without these."""
    pod = spec["template"]["spec"]
    ignored, failed = spec["podFailurePolicy"]["rules"]
    assert failed["action"] == "FailIndex"
    assert failed["onExitCodes"]["values"] == [BAD_CONFIG]
    assert failed["onExitCodes"]["containerName"] == pod["containers"][0]["name"]
    assert ignored["onPodConditions"] == [{"type": "DisruptionTarget"}]
    assert pod["restartPolicy"] == "Never"
    assert spec["completionMode"] == "Indexed"
    assert spec["backoffLimitPerIndex"] > 0
    assert spec["maxFailedIndexes"] <= spec["completions"]
