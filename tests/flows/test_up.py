"""`seraser up` itself, once flows have run on it: what it prints, where it listens, how it ends."""

from __future__ import annotations

import signal
import socket

import httpx
import psutil
from listeners import check_loopback, listening


def test_up_prints_links_of_pages_that_are_there(up):
    assert sorted(up.links) == ["artifacts", "deployment", "runs"]
    for link in up.links.values():
        page = httpx.get(link, headers={"Accept": "text/html"}, trust_env=False)  # as browsers do
        assert page.status_code == 200, link
        assert "Prefect" in page.text
    api, deployment = up.exports["PREFECT_API_URL"], up.links["deployment"].rpartition("/")[2]
    found = httpx.get(f"{api}/deployments/{deployment}", trust_env=False).json()
    assert found["name"] == "batch-eval"


def test_up_lets_one_flow_run_at_once(up):
    pool = httpx.get(f"{up.exports['PREFECT_API_URL']}/work_pools/seraser", trust_env=False).json()
    assert pool["type"] == "process"
    assert pool["concurrency_limit"] == 1


def test_up_listens_on_this_machine_only(up):
    check_loopback(listening(up.process.pid), up.port)


def test_nothing_for_this_machine_went_to_the_proxy(up, company):
    """Prefect's server itself looks on the web what kinds of workers there are."""
    assert up.exports["NO_PROXY"] == "localhost,127.0.0.1,::1"
    asked = {target for _, target in company.seen}
    assert asked <= {"raw.githubusercontent.com:443"}


def test_up_refuses_a_home_that_another_one_uses(up, seraser):
    home = up.environment["PREFECT_HOME"]
    done = seraser("up", "--port", "1", "--home", home)
    assert done.returncode == 1
    assert f"another `seraser up` uses {home}" in done.stderr
    assert "--home" in done.stderr


def test_up_goes_down_without_a_trace(up):
    """The last test with it, of the last file."""
    children = psutil.Process(up.process.pid).children(recursive=True)
    assert len(children) >= 2
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(90) == 0, up.printed()
    assert psutil.wait_procs(children, timeout=30)[1] == []
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", up.port))


def test_up_refuses_a_port_that_is_taken(seraser, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = seraser("up", "--port", str(port), "--home", str(tmp_path))
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "--port" in done.stderr
