"""Where processes wait for somebody on the network."""

from __future__ import annotations

import ipaddress

import psutil


def listening(pid: int) -> list[tuple[str, int]]:
    """Addresses at which a process and those it started wait for somebody, on TCP and UDP."""
    process = psutil.Process(pid)
    return [
        (connection.laddr.ip, connection.laddr.port)
        for one in (process, *process.children(recursive=True))
        for connection in one.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN or not connection.raddr
    ]


def check_loopback(found: list[tuple[str, int]], port: int | None = None) -> None:
    """See that all of them, of which one has this port, are of this machine only."""
    assert found
    assert port is None or port in {at for _, at in found}
    assert [ip for ip, _ in found if not ipaddress.ip_address(ip).is_loopback] == []
