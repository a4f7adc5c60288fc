"""Prefect's deployment files: Prefect accepts them, and their flows accept the parameters."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.cli.deploy._models import ConcurrencyLimitSpec, DeploymentConfig, PrefectYamlModel
from prefect.exceptions import MissingFlowError
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.utilities.importtools import import_object
from prefect.utilities.schema_tools import validate
from prefect.utilities.schema_tools.validation import ValidationError as WrongParameterError
from pydantic import ValidationError

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "deployments").glob("prefect*.yaml"))


@pytest.fixture(autouse=True)
def _root(monkeypatch):
    monkeypatch.chdir(ROOT)


def check(content: dict[str, Any]) -> None:
    """Read a deployment file as Prefect does, and what it only reads when it is too late."""
    PrefectYamlModel.model_validate(content)
    for step in content["pull"]:
        ((name, arguments),) = step.items()
        inspect.signature(import_object(name)).bind(**arguments)
    names = [(one["entrypoint"], one["name"]) for one in content["deployments"]]
    assert len(set(names)) == len(names)
    for deployment in content["deployments"]:
        known = {field.alias or name for name, field in DeploymentConfig.model_fields.items()}
        assert deployment.keys() <= known
        limit = deployment.get("concurrency_limit", {})
        assert limit.keys() <= ConcurrencyLimitSpec.model_fields.keys()
        schema = parameter_schema(load_flow_from_entrypoint(deployment["entrypoint"]))
        given = deployment.get("parameters", {})
        schedules = deployment.get("schedules", [])
        for more in ({}, *(one.get("parameters", {}) for one in schedules)):
            assert (given | more).keys() <= schema.properties.keys()
            validate(
                given | more,
                schema.model_dump_for_openapi(),
                raise_on_error=True,
                ignore_required=not schedules,
            )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_prefect_accepts_it(path):
    content = yaml.safe_load(path.read_text())
    assert content["deployments"]
    check(content)


def _two_schedules_in_one(content):
    content["deployments"][0]["schedules"][0]["interval"] = 60


def _other_parameter(content):
    content["deployments"][0]["parameters"]["configuration"] = "birds.yaml"


def _wrong_parameter(content):
    content["deployments"][0]["parameters"]["config"] = 3


def _no_parameter(content):
    del content["deployments"][0]["parameters"]["config"]


def _no_flow(content):
    content["deployments"][0]["entrypoint"] = "flows/seraser.py:evaluate"


def _other_step(content):
    content["pull"][0] = {"prefect.deployments.steps.set_working_directory": {"folder": "/"}}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (_two_schedules_in_one, ValidationError),
        (_other_parameter, AssertionError),
        (_wrong_parameter, WrongParameterError),
        (_no_parameter, WrongParameterError),
        (_no_flow, MissingFlowError),
        (_other_step, TypeError),
    ],
)
def test_a_mistake_is_found(change, error):
    content = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())
    change(content)
    with pytest.raises(error):
        check(content)
