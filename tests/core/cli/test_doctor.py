"""`seraser doctor`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import namedtuple

import pytest

from seraser_core.cli import checks

_SERASER = "from seraser_core.cli.main import app; app()"
_NAMES = {
    *("versions", "plug-ins", "device", "cores", "memory", "files", "disk", "weights", "proxies"),
    *("prefect", "s3", "completion"),
}


def test_what_will_not_do_is_told_without_secrets(environment, unused_port):
    url = f"http://127.0.0.1:{unused_port}/api"
    more = {
        "PREFECT_API_URL": url,
        "HTTPS_PROXY": "http://me:hunter2@proxy.example:3128",
        "AWS_ACCESS_KEY_ID": "AKIAhunter2",
        "AWS_ENDPOINT_URL": "https://s3.example",
    }
    done = subprocess.run(
        [sys.executable, "-c", _SERASER, "doctor", "--json"],
        env={k: v for k, v in environment.items() if not k.startswith("AWS_")} | more,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    found = {one["name"]: one for one in json.loads(done.stdout)}
    assert set(found) == _NAMES
    assert f"no server answers at {url}" in found["prefect"]["found"]
    assert "seraser up" in found["prefect"]["hint"]
    assert "proxy.example" in found["proxies"]["found"]
    assert "https://s3.example" in found["s3"]["found"]
    assert (found["s3"]["state"], found["versions"]["state"]) == ("warn", "ok")
    assert "torch 2." in found["versions"]["found"]


def test_all_is_well_ends_with_0_and_the_next_command(seraser, monkeypatch):
    monkeypatch.setattr(checks, "all_checks", lambda: iter([checks.Check("disk", "ok", "much")]))
    done = seraser("doctor")
    assert (done.exit_code, done.stdout) == (0, "ok   disk       much\n")
    assert done.stderr.splitlines()[-1].endswith("seraser demo")


def test_a_full_disk_is_a_warning_with_a_hint(monkeypatch):
    usage = namedtuple("usage", "free")(2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    made = {check.name: check for check in checks.all_checks()}
    assert made["disk"].state == made["weights"].state == "warn"
    assert "1.0 GiB free" in made["disk"].found
    assert made["disk"].hint


def test_a_check_that_cannot_be_made_is_a_warning(monkeypatch):
    def broken() -> None:
        raise OSError("no disk")

    monkeypatch.setattr(checks, "_disk", broken)
    made = {check.name: check for check in checks.all_checks()}
    assert (made["disk"].state, "OSError: no disk" in made["disk"].found) == ("warn", True)
    assert set(made) == _NAMES


@pytest.mark.parametrize(("limit", "state"), [("max", "ok"), (str(2**30), "warn")])
def test_the_memory_of_a_container_counts(monkeypatch, tmp_path, limit, state):
    (tmp_path / "memory.max").write_text(limit)
    monkeypatch.setattr(checks, "_CGROUP_MEMORY", tmp_path / "memory.max")
    monkeypatch.setattr(checks, "_LEAST_MEMORY", 2**30 + 1)
    assert checks._memory().state == state
