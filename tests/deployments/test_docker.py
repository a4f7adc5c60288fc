"""The image and the services around it: linted, and all that they name is there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sysconfig
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deployments" / "docker"
DOCKERFILE = FOLDER / "Dockerfile"
HADOLINT = str(Path(sysconfig.get_path("scripts"), "hadolint"))


def linted(text: str) -> list[str]:
    """Codes of what hadolint says against a Dockerfile."""
    done = subprocess.run(
        [HADOLINT, "--format=json", "--failure-threshold=style", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    found = [one["code"] for one in json.loads(done.stdout)]
    assert bool(done.returncode) == bool(found)
    return found


def test_the_dockerfile_has_no_fault():
    assert linted(DOCKERFILE.read_text()) == []


@pytest.mark.parametrize(
    ("text", "other", "code"),
    [
        ("uv==0.13.9", "uv", "DL3013"),
        ("FROM python:3.12-slim-bookworm\n", "FROM python\n", "DL3006"),
        ("USER 1000", "USER root", "DL3002"),
    ],
)
def test_a_mistake_in_it_is_found(text, other, code):
    assert text in DOCKERFILE.read_text()
    assert code in linted(DOCKERFILE.read_text().replace(text, other))


def test_all_that_it_copies_is_there():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    assert copied
    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), name


def wrong_in(compose: dict) -> list[str]:
    """Return the faults of the services of a compose file, which only Docker itself reads whole."""
    services, faults = compose["services"], []
    for name, service in services.items():
        if not {"image", "build"} & service.keys():
            faults.append(f"{name} has no image")
        build = service.get("build")
        if build and not (FOLDER / build["context"] / build["dockerfile"]).is_file():
            faults.append(f"{name} is built of nothing")
        for other, how in service.get("depends_on", {}).items():
            if other not in services:
                faults.append(f"{name} waits for {other}, which is no service")
            elif how["condition"] == "service_healthy" and "healthcheck" not in services[other]:
                faults.append(f"{name} waits for the health of {other}, which tells none")
        for volume in service.get("volumes", []):
            if volume.partition(":")[0] not in compose["volumes"]:
                faults.append(f"{name} has an unknown volume {volume}")
        for port in service.get("ports", []):
            if not ip_address(port.split(":")[0]).is_loopback:
                faults.append(f"{name} publishes {port} to other machines")
        if service.get("restart") != "unless-stopped":
            faults.append(f"{name} stays down when the machine restarts")
    return faults


@pytest.fixture
def compose() -> dict:
    return yaml.safe_load((FOLDER / "compose.yaml").read_text())


def test_services_refer_to_what_is_there(compose):
    assert wrong_in(compose) == []
    assert compose["services"]["worker"]["depends_on"] == {
        "server": {"condition": "service_healthy"}
    }
    of_server = compose["services"]["server"]["environment"]
    of_postgres = compose["services"]["postgres"]["environment"]
    assert of_server["PREFECT_SERVER_DATABASE_HOST"] in compose["services"]
    assert of_server["PREFECT_SERVER_DATABASE_USER"] == of_postgres["POSTGRES_USER"]
    assert of_server["PREFECT_SERVER_DATABASE_NAME"] == of_postgres["POSTGRES_DB"]
    cache = re.search(r"SERASER_CACHE=(\S+)", DOCKERFILE.read_text())
    assert cache and f"cache:{cache[1]}" in compose["services"]["worker"]["volumes"]


@pytest.mark.parametrize(
    ("service", "field", "value"),
    [
        ("worker", "depends_on", {"sever": {"condition": "service_healthy"}}),
        ("server", "healthcheck", None),
        ("server", "ports", ["0.0.0.0:4200:4200"]),
        ("worker", "volumes", ["weights:/cache"]),
        ("postgres", "restart", None),
        ("server", "build", {"context": "..", "dockerfile": "deployments/docker/Dockerfile"}),
    ],
)
def test_a_reference_to_nothing_is_found(compose, service, field, value):
    changed = compose["services"][service]
    changed.pop(field)
    if value is not None:
        changed[field] = value
    assert len(wrong_in(compose)) == 1


def test_prefect_understands_its_settings(compose, monkeypatch):
    from prefect.settings import Settings

    for name, value in compose["services"]["server"]["environment"].items():
        monkeypatch.setenv(name, value)
    server = Settings().server
    database = server.database
    assert (database.host, database.user, database.name) == ("postgres", "prefect", "prefect")
    assert database.driver == "postgresql+asyncpg"
    assert database.password is not None
    assert not server.analytics_enabled
    (port,) = compose["services"]["server"]["ports"]
    assert server.ui.api_url == f"http://{port.rpartition(':')[0]}/api"
    worker = compose["services"]["worker"]["environment"]
    assert worker["PREFECT_API_URL"] == f"http://server:{port.rpartition(':')[2]}/api"


def test_prefect_understands_its_commands(compose):
    from prefect.cli._app import _app  # takes seconds to import

    (script,) = compose["services"]["worker"]["command"]
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    server = shlex.join(compose["services"]["server"]["entrypoint"])
    for line in [server, *script.splitlines()]:
        words = shlex.split(line)
        words = words[words.index("prefect") + 1 :]
        cut = next((i for i, word in enumerate(words) if word[0] in ">|"), len(words))
        _app.parse_args(words[:cut], exit_on_error=False, print_error=False)  # raises
