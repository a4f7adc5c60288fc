"""Servers that the commands start are reached from this machine only."""

from __future__ import annotations

import ipaddress

import psutil

from seraser_core.cli.server import temporary_server


def listening(pid: int) -> list[tuple[str, int]]:
    """Addresses at which a process and those it started wait for somebody, on TCP and UDP."""
    process = psutil.Process(pid)
    return [
        (connection.laddr.ip, connection.laddr.port)
        for one in (process, *process.children(recursive=True))
        for connection in one.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN or not connection.raddr
    ]


def check(found: list[tuple[str, int]], port: int) -> None:
    assert port in {at for _, at in found}
    assert [ip for ip, _ in found if not ipaddress.ip_address(ip).is_loopback] == []


def test_up_listens_on_this_machine_only(up):
    check(listening(up.process.pid), up.port)


def test_a_temporary_server_listens_on_this_machine_only(monkeypatch, tmp_path):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    with temporary_server() as ready:
        port = int(ready().rpartition(":")[2].partition("/")[0])
        children = psutil.Process().children()
        found = [address for child in children for address in listening(child.pid)]
        check(found, port)
